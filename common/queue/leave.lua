-- A worker that ends in order takes its name off the list.
-- ARGV: worker
return redis.call('HDEL', WORKERS, ARGV[1])
