-- Back to counting by hand.

DROP TRIGGER backups_count_new ON backups;
DROP TRIGGER backups_count_moved ON backups;
DROP TRIGGER backups_count_ended ON backups;
DROP TRIGGER backups_delete_copies_first ON backups;
DROP TRIGGER backups_recount ON backups;
DROP TRIGGER backup_destinations_count_new ON backup_destinations;
DROP TRIGGER backup_destinations_count_changed ON backup_destinations;
DROP TRIGGER backup_destinations_count_gone ON backup_destinations;
DROP TRIGGER backup_destinations_recount ON backup_destinations;
DROP FUNCTION bm_count_backup();
DROP FUNCTION bm_count_backup_status();
DROP FUNCTION bm_delete_copies_first();
DROP FUNCTION bm_count_copy();
DROP FUNCTION bm_recount_after_truncate();
DROP FUNCTION bm_recount_statistics();
DROP FUNCTION bm_fold_statistics(integer);
DROP TABLE backup_statistics_changes;
DROP TABLE backup_statistics;
DROP INDEX backups_database_id;
DROP INDEX backups_schedule_id;
DROP INDEX backups_created_at;
DROP INDEX backups_not_completed;
