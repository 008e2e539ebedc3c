-- What a page says about a database with hundreds of thousands of backups, without reading them: counts that are
-- exact in every snapshot.
--
-- Each transaction that changes a count adds rows of its own to backup_statistics_changes, so nobody waits for
-- anybody and no order of locks matters. The maintenance pass folds them into backup_statistics, in one statement: a
-- snapshot sees either the changes or what became of them. What is true now is the sum over both tables.
--
-- Only the beginning and the end of a backup or copy count. A backup is `unfinished` while it is pending or in
-- progress; that it started changes nothing here, nor do leases, progress and retries of copies.

-- Lists of backups, newest first: of one database, of one schedule, of a time, and those that are not simply completed.
-- The last one leaves out what nearly all of them become.
CREATE INDEX backups_database_id ON backups (database_id, id);
CREATE INDEX backups_schedule_id ON backups (schedule_id, id);
CREATE INDEX backups_created_at ON backups (created_at);
CREATE INDEX backups_not_completed ON backups (status, id) WHERE status <> 'completed';

CREATE TABLE backup_statistics (
    database_id integer NOT NULL REFERENCES databases (id) ON DELETE CASCADE,
    schedule_id integer NOT NULL,            -- 0: backups without a schedule, and the copies of all
    total bigint NOT NULL,
    completed bigint NOT NULL,
    partial bigint NOT NULL,
    failed bigint NOT NULL,
    unfinished bigint NOT NULL,
    copies bigint NOT NULL,                  -- completed ones
    copies_size bigint NOT NULL,             -- bytes of these
    last_success_id integer,                 -- no newer backup is completed; this one was, when it was counted
    PRIMARY KEY (database_id, schedule_id)
);

CREATE TABLE backup_statistics_changes (
    database_id integer NOT NULL,
    schedule_id integer NOT NULL,
    total smallint NOT NULL DEFAULT 0,
    completed smallint NOT NULL DEFAULT 0,
    partial smallint NOT NULL DEFAULT 0,
    failed smallint NOT NULL DEFAULT 0,
    unfinished smallint NOT NULL DEFAULT 0,
    copies bigint NOT NULL DEFAULT 0,
    copies_size bigint NOT NULL DEFAULT 0,
    last_success_id integer
);
CREATE INDEX backup_statistics_changes_database_id ON backup_statistics_changes (database_id);
-- It fills and empties all day.
ALTER TABLE backup_statistics_changes SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

CREATE FUNCTION bm_count_backup() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO backup_statistics_changes (database_id, schedule_id, total, completed, partial, failed, unfinished)
        VALUES (OLD.database_id, coalesce(OLD.schedule_id, 0), -1, -(OLD.status = 'completed')::int,
                -(OLD.status = 'partial')::int, -(OLD.status = 'failed')::int,
                -(OLD.status IN ('pending', 'in_progress'))::int);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO backup_statistics_changes (database_id, schedule_id, total, completed, partial, failed, unfinished,
                                               last_success_id)
        VALUES (NEW.database_id, coalesce(NEW.schedule_id, 0), 1, (NEW.status = 'completed')::int,
                (NEW.status = 'partial')::int, (NEW.status = 'failed')::int,
                (NEW.status IN ('pending', 'in_progress'))::int, CASE NEW.status WHEN 'completed' THEN NEW.id END);
    END IF;
    IF TG_OP = 'UPDATE' AND NEW.database_id <> OLD.database_id THEN
        INSERT INTO backup_statistics_changes (database_id, schedule_id, copies, copies_size)
        SELECT CASE sign WHEN 1 THEN NEW.database_id ELSE OLD.database_id END, 0, sign * count(*),
               sign * coalesce(sum(d.file_size), 0)
        FROM backup_destinations d CROSS JOIN (VALUES (1), (-1)) AS s (sign)
        WHERE d.backup_id = NEW.id AND d.status = 'completed'
        GROUP BY sign;
    END IF;
    RETURN NULL;
END $$;

-- The end of most backups: one row instead of two.
CREATE FUNCTION bm_count_backup_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO backup_statistics_changes (database_id, schedule_id, completed, partial, failed, unfinished,
                                           last_success_id)
    VALUES (NEW.database_id, coalesce(NEW.schedule_id, 0),
            (NEW.status = 'completed')::int - (OLD.status = 'completed')::int,
            (NEW.status = 'partial')::int - (OLD.status = 'partial')::int,
            (NEW.status = 'failed')::int - (OLD.status = 'failed')::int,
            (NEW.status IN ('pending', 'in_progress'))::int - (OLD.status IN ('pending', 'in_progress'))::int,
            CASE NEW.status WHEN 'completed' THEN NEW.id END);
    RETURN NULL;
END $$;

-- A copy is its database's by way of its backup, which must still be there when a copy goes.
CREATE FUNCTION bm_delete_copies_first() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM backup_destinations WHERE backup_id = OLD.id;
    RETURN OLD;
END $$;

CREATE FUNCTION bm_count_copy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.status = 'completed' THEN
        INSERT INTO backup_statistics_changes (database_id, schedule_id, copies, copies_size)
        SELECT database_id, 0, -1, -coalesce(OLD.file_size, 0) FROM backups WHERE id = OLD.backup_id;
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.status = 'completed' THEN
        INSERT INTO backup_statistics_changes (database_id, schedule_id, copies, copies_size)
        SELECT database_id, 0, 1, coalesce(NEW.file_size, 0) FROM backups WHERE id = NEW.backup_id;
    END IF;
    RETURN NULL;
END $$;

-- Counts everything anew, writers waiting: for the beginning, for TRUNCATE, and for whoever switched triggers off.
CREATE FUNCTION bm_recount_statistics() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    LOCK TABLE backups, backup_destinations IN SHARE ROW EXCLUSIVE MODE;
    LOCK TABLE backup_statistics, backup_statistics_changes IN EXCLUSIVE MODE;
    DELETE FROM backup_statistics_changes;
    DELETE FROM backup_statistics;
    INSERT INTO backup_statistics
    SELECT database_id, schedule_id, sum(total), sum(completed), sum(partial), sum(failed), sum(unfinished),
           sum(copies), sum(copies_size), max(last_success_id)
    FROM (
        SELECT database_id, coalesce(schedule_id, 0) AS schedule_id, count(*) AS total,
               count(*) FILTER (WHERE status = 'completed') AS completed,
               count(*) FILTER (WHERE status = 'partial') AS partial,
               count(*) FILTER (WHERE status = 'failed') AS failed,
               count(*) FILTER (WHERE status IN ('pending', 'in_progress')) AS unfinished,
               0 AS copies, 0 AS copies_size, max(id) FILTER (WHERE status = 'completed') AS last_success_id
        FROM backups
        GROUP BY 1, 2
        UNION ALL
        SELECT b.database_id, 0, 0, 0, 0, 0, 0, count(*), coalesce(sum(d.file_size), 0), NULL
        FROM backup_destinations d
        JOIN backups b ON b.id = d.backup_id
        WHERE d.status = 'completed'
        GROUP BY 1
    ) AS counted
    GROUP BY database_id, schedule_id;
END $$;

CREATE FUNCTION bm_recount_after_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM bm_recount_statistics();
    RETURN NULL;
END $$;

-- Folds at most `most` changes and says how many there were. One at a time; 0 also when another is at it.
CREATE FUNCTION bm_fold_statistics(most integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
    touched integer[];
BEGIN
    IF NOT pg_try_advisory_xact_lock(7305172) THEN
        RETURN 0;
    END IF;
    WITH taken AS (
        DELETE FROM backup_statistics_changes
        WHERE ctid = ANY (ARRAY(SELECT ctid FROM backup_statistics_changes LIMIT most))
        RETURNING *
    ), folded AS (
        INSERT INTO backup_statistics AS s
        SELECT t.database_id, t.schedule_id, sum(t.total), sum(t.completed), sum(t.partial), sum(t.failed),
               sum(t.unfinished), sum(t.copies), sum(t.copies_size), max(t.last_success_id)
        FROM taken t
        WHERE EXISTS (SELECT FROM databases d WHERE d.id = t.database_id)
        GROUP BY t.database_id, t.schedule_id
        ON CONFLICT (database_id, schedule_id) DO UPDATE
        SET total = s.total + excluded.total, completed = s.completed + excluded.completed,
            partial = s.partial + excluded.partial, failed = s.failed + excluded.failed,
            unfinished = s.unfinished + excluded.unfinished, copies = s.copies + excluded.copies,
            copies_size = s.copies_size + excluded.copies_size,
            last_success_id = greatest(s.last_success_id, excluded.last_success_id)
        RETURNING s.database_id
    )
    SELECT (SELECT count(*) FROM taken), (SELECT array_agg(DISTINCT database_id) FROM folded) INTO n, touched;
    -- The latest success may have been deleted or retried: whoever reads goes back from it to the one before.
    UPDATE backup_statistics s
    SET last_success_id = (
        SELECT b.id FROM backups b
        WHERE b.database_id = s.database_id AND coalesce(b.schedule_id, 0) = s.schedule_id AND b.status = 'completed'
            AND b.id <= s.last_success_id
        ORDER BY b.id DESC LIMIT 1)
    WHERE s.database_id = ANY (touched) AND s.last_success_id IS NOT NULL
        AND NOT EXISTS (
            SELECT FROM backups b
            WHERE b.id = s.last_success_id AND b.status = 'completed' AND b.database_id = s.database_id
                AND coalesce(b.schedule_id, 0) = s.schedule_id);
    DELETE FROM backup_statistics s
    WHERE s.database_id = ANY (touched) AND s.total = 0 AND s.completed = 0 AND s.partial = 0 AND s.failed = 0
        AND s.unfinished = 0 AND s.copies = 0 AND s.copies_size = 0;
    RETURN n;
END $$;

SELECT bm_recount_statistics();

CREATE TRIGGER backups_count_new AFTER INSERT OR DELETE ON backups FOR EACH ROW EXECUTE FUNCTION bm_count_backup();
CREATE TRIGGER backups_count_moved AFTER UPDATE ON backups FOR EACH ROW
    WHEN (OLD.database_id <> NEW.database_id OR OLD.schedule_id IS DISTINCT FROM NEW.schedule_id)
    EXECUTE FUNCTION bm_count_backup();
CREATE TRIGGER backups_count_ended AFTER UPDATE ON backups FOR EACH ROW
    WHEN (OLD.status <> NEW.status
          AND NOT (OLD.status IN ('pending', 'in_progress') AND NEW.status IN ('pending', 'in_progress'))
          AND OLD.database_id = NEW.database_id AND OLD.schedule_id IS NOT DISTINCT FROM NEW.schedule_id)
    EXECUTE FUNCTION bm_count_backup_status();
CREATE TRIGGER backups_delete_copies_first BEFORE DELETE ON backups FOR EACH ROW
    EXECUTE FUNCTION bm_delete_copies_first();
CREATE TRIGGER backups_recount AFTER TRUNCATE ON backups EXECUTE FUNCTION bm_recount_after_truncate();

CREATE TRIGGER backup_destinations_count_new AFTER INSERT ON backup_destinations FOR EACH ROW
    WHEN (NEW.status = 'completed') EXECUTE FUNCTION bm_count_copy();
CREATE TRIGGER backup_destinations_count_changed AFTER UPDATE ON backup_destinations FOR EACH ROW
    WHEN ((OLD.status = 'completed' OR NEW.status = 'completed')
          AND (OLD.status <> NEW.status OR OLD.file_size IS DISTINCT FROM NEW.file_size
               OR OLD.backup_id <> NEW.backup_id))
    EXECUTE FUNCTION bm_count_copy();
CREATE TRIGGER backup_destinations_count_gone AFTER DELETE ON backup_destinations FOR EACH ROW
    WHEN (OLD.status = 'completed') EXECUTE FUNCTION bm_count_copy();
CREATE TRIGGER backup_destinations_recount AFTER TRUNCATE ON backup_destinations
    EXECUTE FUNCTION bm_recount_after_truncate();
