-- The older single-destination system's tables, where they don't exist yet. A database that the older system
-- made is left as it is: its enum types and missing defaults are 001's business.

CREATE TABLE IF NOT EXISTS users (
    id serial PRIMARY KEY,
    username text NOT NULL UNIQUE,
    email text NOT NULL,
    hashed_password text NOT NULL,
    is_active boolean DEFAULT true,
    is_admin boolean DEFAULT false,
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz
);

CREATE TABLE IF NOT EXISTS groups (
    id serial PRIMARY KEY,
    name text NOT NULL UNIQUE,
    description text,
    created_by integer NOT NULL REFERENCES users (id),
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz
);

CREATE TABLE IF NOT EXISTS databases (
    id serial PRIMARY KEY,
    name text NOT NULL,
    description text,
    db_type text NOT NULL,           -- postgresql, mysql, mongodb, redis
    host text NOT NULL,
    port integer NOT NULL,
    username text,
    password_encrypted text,         -- a Fernet token; its key is the older system's ENCRYPTION_KEY
    database_name text,
    connection_options text,         -- JSON
    group_id integer NOT NULL REFERENCES groups (id),
    is_active boolean DEFAULT true,
    created_by integer NOT NULL REFERENCES users (id),
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz,
    last_backup_at timestamptz
);

CREATE TABLE IF NOT EXISTS schedules (
    id serial PRIMARY KEY,
    name text NOT NULL,
    description text,
    schedule_type text NOT NULL,     -- cron, interval, manual
    cron_expression text,
    interval_value text,             -- hourly, daily, weekly, monthly
    retention_days integer,
    max_backups integer,
    database_id integer NOT NULL REFERENCES databases (id),
    is_active boolean DEFAULT true,
    last_run_at timestamptz,
    next_run_at timestamptz,
    created_by integer NOT NULL REFERENCES users (id),
    created_at timestamptz DEFAULT now(),
    updated_at timestamptz
);

CREATE TABLE IF NOT EXISTS backups (
    id serial PRIMARY KEY,
    name text NOT NULL,              -- <database>_YYYYMMDD_HHMMSS
    database_id integer NOT NULL REFERENCES databases (id),
    schedule_id integer REFERENCES schedules (id),
    storage_type text NOT NULL,      -- local, s3, minio, spaces, backblaze
    file_path text NOT NULL,
    file_size bigint,
    checksum text,
    status text NOT NULL DEFAULT 'pending', -- pending, in_progress, completed, failed, partial
    error_message text,
    started_at timestamptz,
    completed_at timestamptz,
    duration_seconds integer,
    created_by integer NOT NULL REFERENCES users (id),
    created_at timestamptz DEFAULT now(),
    is_compressed boolean DEFAULT false,
    is_encrypted boolean DEFAULT false,
    compression_type text            -- gzip, bzip2, xz
);
