-- What was done stays done; only its record goes.

DROP TABLE operations;
DROP FUNCTION bm_notify_operation();
