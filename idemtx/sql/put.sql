{insert}
-- The first writer wins, and the caller is told who that was.
ON CONFLICT (scope, key) DO NOTHING
