-- Back to one destination per backup, and to the older system's types. Copies but the first of each backup are
-- forgotten.

-- Absolute paths return as they were: base_path "/" is how 001 and 002 write them, and the copies that
-- destination_results named have no other place for their directory. What the newer programs wrote returns as the
-- specification says, file_path alone.
UPDATE backups b
SET storage_type = d.storage_type,
    file_path = CASE
        WHEN d.base_path = '/' AND b.file_path LIKE '/%' AND ltrim(b.file_path, '/') = d.file_path THEN b.file_path
        WHEN d.base_path = '/' THEN '/' || d.file_path
        WHEN d.base_path <> '' AND d.storage_name LIKE '% (migrated)' THEN rtrim(d.base_path, '/') || '/' || d.file_path
        ELSE d.file_path END,
    file_size = d.file_size,
    checksum = d.checksum
FROM (SELECT DISTINCT ON (backup_id) * FROM backup_destinations
      ORDER BY backup_id, coalesce(priority, 0), id) AS d
WHERE d.backup_id = b.id;

DROP TABLE backup_destinations;

DO $$
DECLARE
    relaxed record;
BEGIN
    FOR relaxed IN
        SELECT c.column_name, d.filler
        FROM (VALUES ('storage_type', 'local'), ('file_path', ''), ('file_size', '0'), ('checksum', ''))
            AS d (column_name, filler)
        JOIN legacy_columns c ON c.table_name = 'backups' AND c.column_name = d.column_name AND c.not_null
    LOOP
        EXECUTE format('UPDATE backups SET %1$I = %2$L WHERE %1$I IS NULL', relaxed.column_name, relaxed.filler);
        EXECUTE format('ALTER TABLE backups ALTER COLUMN %I SET NOT NULL', relaxed.column_name);
    END LOOP;
END $$;

DO $$
DECLARE
    c legacy_columns;
BEGIN
    FOR c IN SELECT * FROM legacy_columns WHERE allowed IS NOT NULL LOOP
        EXECUTE format('ALTER TABLE %I DROP CONSTRAINT %I',
                       c.table_name, c.table_name || '_' || c.column_name || '_known');
        EXECUTE format('ALTER TABLE %I ALTER COLUMN %I DROP DEFAULT', c.table_name, c.column_name);
    END LOOP;
    -- Defaults that the older system's tables didn't have.
    FOR c IN
        SELECT l.* FROM legacy_columns l
        JOIN pg_attribute a ON a.attrelid = to_regclass(l.table_name) AND a.attname = l.column_name
        WHERE l.default_expression IS NULL AND a.atthasdef
    LOOP
        EXECUTE format('ALTER TABLE %I ALTER COLUMN %I DROP DEFAULT', c.table_name, c.column_name);
    END LOOP;
END $$;

-- Enum types: the labels that were there, in their order, then those that the data needs now, in the same case.
DO $$
DECLARE
    t record;
    c legacy_columns;
    other record;
    values_now text[];
    all_labels text[];
    all_values text[];
BEGIN
    FOR t IN
        SELECT type_schema, type_name, labels, bool_or(spelling = 'upper') AS in_upper
        FROM legacy_columns WHERE labels IS NOT NULL GROUP BY 1, 2, 3
    LOOP
        all_labels := t.labels;
        all_values := ARRAY(SELECT lower(l COLLATE "C") FROM unnest(t.labels) WITH ORDINALITY AS u (l, n) ORDER BY n);
        FOR c IN SELECT * FROM legacy_columns WHERE type_schema = t.type_schema AND type_name = t.type_name LOOP
            EXECUTE format('SELECT array_agg(DISTINCT %1$I ORDER BY %1$I) FROM %2$I WHERE %1$I <> ALL ($1)',
                           c.column_name, c.table_name) INTO values_now USING all_values;
            all_values := all_values || values_now;
            all_labels := all_labels || ARRAY(
                SELECT CASE WHEN t.in_upper THEN upper(v COLLATE "C") ELSE v END
                FROM unnest(values_now) WITH ORDINALITY AS u (v, n) ORDER BY n);
        END LOOP;

        -- The type is still there when something else uses it. ALTER TYPE ADD VALUE could not be used in this
        -- transaction, so a type that lacks a label is replaced, under its other users too.
        IF to_regtype(format('%I.%I', t.type_schema, t.type_name)) IS NULL THEN
            EXECUTE format('CREATE TYPE %I.%I AS ENUM (%s)', t.type_schema, t.type_name,
                (SELECT string_agg(quote_literal(l), ', ' ORDER BY n) FROM unnest(all_labels) WITH ORDINALITY AS u (l, n)));
        ELSIF cardinality(all_labels) > cardinality(t.labels) THEN
            EXECUTE format('ALTER TYPE %I.%I RENAME TO %I', t.type_schema, t.type_name, t.type_name || '_before');
            EXECUTE format('CREATE TYPE %I.%I AS ENUM (%s)', t.type_schema, t.type_name,
                (SELECT string_agg(quote_literal(l), ', ' ORDER BY n) FROM unnest(all_labels) WITH ORDINALITY AS u (l, n)));
            FOR other IN
                SELECT a.attrelid::regclass AS table_name, a.attname AS column_name,
                       pg_get_expr(d.adbin, d.adrelid) AS expression
                FROM pg_attribute a JOIN pg_class r ON r.oid = a.attrelid AND r.relkind IN ('r', 'p')
                LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
                WHERE a.atttypid = format('%I.%I', t.type_schema, t.type_name || '_before')::regtype
                    AND NOT a.attisdropped
            LOOP
                EXECUTE format('ALTER TABLE %1$s ALTER COLUMN %2$I DROP DEFAULT, '
                               'ALTER COLUMN %2$I TYPE %3$I.%4$I USING %2$I::text::%3$I.%4$I',
                               other.table_name, other.column_name, t.type_schema, t.type_name);
                IF other.expression IS NOT NULL THEN
                    EXECUTE format('SELECT (%s)::text', other.expression) INTO other.expression;
                    EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT %L::%I.%I', other.table_name,
                                   other.column_name, other.expression, t.type_schema, t.type_name);
                END IF;
            END LOOP;
            EXECUTE format('DROP TYPE %I.%I', t.type_schema, t.type_name || '_before');
        END IF;

        FOR c IN SELECT * FROM legacy_columns WHERE type_schema = t.type_schema AND type_name = t.type_name LOOP
            EXECUTE format('ALTER TABLE %1$I ALTER COLUMN %2$I TYPE %3$I.%4$I '
                           'USING (%5$L::text[])[array_position(%6$L::text[], %2$I)]::%3$I.%4$I',
                           c.table_name, c.column_name, c.type_schema, c.type_name, all_labels, all_values);
        END LOOP;
    END LOOP;
END $$;

-- Other text types. A limit too short for what stands there now is not restored.
DO $$
DECLARE
    c legacy_columns;
BEGIN
    FOR c IN SELECT * FROM legacy_columns WHERE allowed IS NOT NULL AND labels IS NULL LOOP
        BEGIN
            EXECUTE format('ALTER TABLE %1$I ALTER COLUMN %2$I TYPE %3$s USING %4$s', c.table_name, c.column_name,
                           c.type_name,
                           format(CASE WHEN c.spelling = 'upper' THEN 'upper(%I COLLATE "C")' ELSE '%I' END, c.column_name));
        EXCEPTION WHEN string_data_right_truncation THEN
            EXECUTE format('ALTER TABLE %1$I ALTER COLUMN %2$I TYPE character varying USING %3$s', c.table_name, c.column_name,
                           format(CASE WHEN c.spelling = 'upper' THEN 'upper(%I COLLATE "C")' ELSE '%I' END, c.column_name));
        END;
    END LOOP;
    FOR c IN SELECT * FROM legacy_columns WHERE type_name ~ '^timestamp.* without time zone$' LOOP
        EXECUTE format('ALTER TABLE %1$I ALTER COLUMN %2$I DROP DEFAULT, '
                       'ALTER COLUMN %2$I TYPE %3$s USING %2$I AT TIME ZONE ''UTC''',
                       c.table_name, c.column_name, c.type_name);
    END LOOP;
    FOR c IN
        SELECT * FROM legacy_columns
        WHERE default_expression IS NOT NULL
            AND (allowed IS NOT NULL OR type_name ~ '^timestamp.* without time zone$')
    LOOP
        EXECUTE format('ALTER TABLE %I ALTER COLUMN %I SET DEFAULT %s',
                       c.table_name, c.column_name, c.default_expression);
    END LOOP;
END $$;

DO $$
DECLARE
    c legacy_constraints;
BEGIN
    FOR c IN SELECT * FROM legacy_constraints ORDER BY table_name, name LOOP
        BEGIN
            EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I %s', c.table_name, c.name, c.definition);
        EXCEPTION WHEN check_violation THEN -- newer rows have values that it doesn't know
            EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I %s NOT VALID', c.table_name, c.name, c.definition);
        END;
    END LOOP;
END $$;

DROP TABLE legacy_constraints;
DROP TABLE legacy_columns;
