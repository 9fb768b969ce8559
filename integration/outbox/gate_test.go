package outbox

import "strings"

// gates are where a process can be held in the transaction of an order: when its job
// is inserted, when its reply is about to be, and at COMMIT; and a worker, when it says
// that a job is done.
const gates = `
CREATE FUNCTION {schema}.gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	PERFORM pg_advisory_xact_lock_shared(hashtext(TG_TABLE_SCHEMA), hashtext(TG_NAME));
	RETURN NEW;
END $$;
CREATE TRIGGER inserted AFTER INSERT ON {schema}.river_job
	FOR EACH ROW EXECUTE FUNCTION {schema}.gate();
CREATE TRIGGER replying BEFORE INSERT ON {schema}.idemtx_replies
	FOR EACH ROW EXECUTE FUNCTION {schema}.gate();
CREATE TRIGGER completing BEFORE UPDATE ON {schema}.river_job
	FOR EACH ROW WHEN (NEW.state = 'completed') EXECUTE FUNCTION {schema}.gate();
CREATE CONSTRAINT TRIGGER committing AFTER INSERT ON {schema}.orders
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {schema}.gate()`

// shut closes a gate until open.
func (s *scene) shut(gate string) {
	s.exec("SELECT pg_advisory_lock(hashtext($1), hashtext($2))", s.schema, gate)
}

func (s *scene) open(gate string) {
	s.exec("SELECT pg_advisory_unlock(hashtext($1), hashtext($2))", s.schema, gate)
}

// held waits until a process waits for a lock.
func (s *scene) held(p *process) {
	s.Helper()
	s.until(p.name+" is held", func() bool {
		return ask[bool](s, `SELECT EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
			WHERE application_name = $1 AND NOT granted)`, p.application())
	})
}

// gone waits until PostgreSQL has seen that a process is dead.
func (s *scene) gone(p *process) {
	s.Helper()
	s.until(p.name+" is gone", func() bool {
		return ask[bool](s, "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $1)", p.application())
	})
}

// terminate ends the backends of a process that is dead, of which they do not know.
func (s *scene) terminate(p *process) {
	s.Helper()
	s.exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", p.application())
}

// failing has each new row of a table fail, in a trigger of that kind, until mended.
func (s *scene) failing(trigger, table string) (mended func()) {
	s.Helper()
	s.exec(`CREATE FUNCTION ` + s.schema + `.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		RAISE EXCEPTION 'not today';
	END $$`)
	table = s.schema + "." + table
	s.exec("CREATE " + strings.ReplaceAll(trigger, "{table}", table) + " EXECUTE FUNCTION " + s.schema + ".fail()")
	return func() { s.exec("DROP TRIGGER fails ON " + table) }
}

// aged lets so much time pass for River that it takes the job of a dead worker from
// it, and elects another leader than a dead one. Only who is alive can prolong either.
func (s *scene) aged() {
	s.Helper()
	s.exec("UPDATE " + s.schema + ".river_job SET attempted_at = attempted_at - interval '1 day' WHERE state = 'running'")
	s.exec("UPDATE " + s.schema + ".river_leader SET expires_at = expires_at - interval '1 day'")
}
