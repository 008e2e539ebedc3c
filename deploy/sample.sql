-- A small shop, so that the first backup has something in it: about 100 MB of plain dump at scale 100.
-- Deterministic: the same rows on every machine.   psql -v scale=100 -f deploy/sample.sql shop
BEGIN;
SELECT setseed(0.42) AS seeded \gset

CREATE TABLE customers (
    id integer PRIMARY KEY,
    name text NOT NULL,
    email text NOT NULL UNIQUE,
    city text NOT NULL,
    registered_at timestamptz NOT NULL
);
INSERT INTO customers
SELECT n,
       (ARRAY['Giulia', 'Søren', 'Zoë', 'José', 'Anaïs', 'Łukasz', 'Maria', 'Oğuz', 'Grace', 'Chloé', 'Дмитрий', '健太'])
           [1 + n * 7 % 12] || ' ' ||
       (ARRAY['Rossi', 'Müller', 'Ångström', 'Muñoz', 'Lefèvre', 'Kowalska', 'Bianchi', 'Yılmaz', 'Hopper', 'Иванов', '田中'])
           [1 + n * 5 % 11],
       'customer' || n || '@example.com',
       (ARRAY['Torino', 'Zürich', 'Kraków', 'São Paulo', 'Málaga', 'København', 'İzmir', '東京'])[1 + n * 3 % 8],
       timestamptz '2020-01-01 00:00+00' + n * interval '37 minutes'
FROM generate_series(1, :scale * 400) AS n;

CREATE TABLE products (
    id integer PRIMARY KEY,
    sku char(10) NOT NULL UNIQUE,
    title text NOT NULL,
    price numeric(10, 2) NOT NULL CHECK (price > 0)
);
INSERT INTO products
SELECT n, 'SKU-' || lpad(n::text, 6, '0'),
       (ARRAY['Caffè', 'Crème brûlée', 'Räucherlachs', 'Jalapeños', 'Pão de queijo', 'Smørrebrød'])[1 + n % 6] || ' no. ' || n,
       round((random() * 200 + 0.5)::numeric, 2)
FROM generate_series(1, 2000) AS n;

CREATE TABLE orders (
    id integer PRIMARY KEY,
    customer_id integer NOT NULL REFERENCES customers,
    placed_at timestamptz NOT NULL,
    status text NOT NULL CHECK (status IN ('new', 'paid', 'shipped', 'returned')),
    note text
);
INSERT INTO orders
SELECT n, 1 + (random() * (:scale * 400 - 1))::integer,
       timestamptz '2023-01-01 00:00+00' + n * interval '11 minutes',
       (ARRAY['new', 'paid', 'shipped', 'shipped', 'shipped', 'returned'])[1 + (random() * 5)::integer],
       CASE WHEN n % 9 = 0 THEN E'leave at the door\nor with the neighbour \\ "second bell"' END
FROM generate_series(1, :scale * 2200) AS n;

CREATE TABLE order_items (
    order_id integer NOT NULL REFERENCES orders,
    line smallint NOT NULL,
    product_id integer NOT NULL REFERENCES products,
    quantity integer NOT NULL,
    price numeric(10, 2) NOT NULL,
    PRIMARY KEY (order_id, line)
);
INSERT INTO order_items
SELECT o, line, 1 + (random() * 1999)::integer, 1 + (random() * 4)::integer, round((random() * 200 + 0.5)::numeric, 2)
FROM generate_series(1, :scale * 2200) AS o, generate_series(1, 1 + o % 5) AS line;

CREATE TABLE events (
    id bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    kind text NOT NULL,
    payload jsonb NOT NULL
);
INSERT INTO events
SELECT n, timestamptz '2024-01-01 00:00+00' + n * interval '13 seconds',
       (ARRAY['page_view', 'search', 'add_to_basket', 'checkout', 'login'])[1 + (random() * 4)::integer],
       jsonb_build_object(
           'session', md5(n::text || random()::text), 'customer', 1 + (random() * (:scale * 400 - 1))::integer,
           'page', '/prodotti/' || (random() * 2000)::integer, 'ms', (random() * 900)::integer,
           'agent', (ARRAY['Mozilla/5.0 (X11; Linux x86_64)', 'Mozilla/5.0 (iPhone)', 'curl/7.88.1'])[1 + n % 3],
           'query', (ARRAY['caffè ☕', 'crème', 'regalo per mamma', 'größe 42', '抹茶'])[1 + n % 5])
FROM generate_series(1, :scale * 3300) AS n;
CREATE INDEX events_at ON events (at);
CREATE VIEW revenue AS
    SELECT date_trunc('month', placed_at) AS month, sum(quantity * price) AS revenue
    FROM orders JOIN order_items ON order_id = orders.id WHERE status <> 'returned' GROUP BY 1;
COMMIT;
ANALYZE;
