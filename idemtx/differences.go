package idemtx

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// differences collects what is wrong, in the order in which the cures work.
type differences struct {
	table string // quoted
	list  []string
}

func (d *differences) add(cure, difference string, args ...any) {
	d.list = append(d.list, withCure(fmt.Sprintf(difference, args...), cure))
}

func (d *differences) alter(change, difference string, args ...any) {
	d.add("ALTER TABLE "+d.table+" "+change, difference, args...)
}

func withCure(difference, cure string) string { return difference + ", cure: " + cure }

func (s *Store) differences(found *relation) []string {
	d := &differences{table: s.quotedTable()}
	if found.tooOld() {
		d.add("upgrade it to 14 or later", "PostgreSQL %d is too old", found.ServerVersion/10000)
	}
	if role := quoted(found.Role); found.WithoutUsage {
		d.add("GRANT USAGE ON SCHEMA "+quoted(s.config.Schema)+" TO "+role, "role %s may not use the schema", role)
	}
	if found.Kind == "TABLE" {
		// NOT NULL comes after the primary key, whose columns cannot do without.
		for _, column := range found.Columns {
			d.shape(column)
		}
		d.primaryKey(found, quoted(s.config.Table+pkeySuffix))
		for _, column := range found.Columns {
			d.nulls(column)
		}
		d.checks(found)
		d.partitions(found, s.config)
		d.sweepIndex(found, s.config.Schema)
		d.durability(found)
		d.rowSecurity(found)
		d.privileges(found)
	} else {
		d.missing(found, quoted(s.config.Table+"_renamed"))
	}
	return d.list
}

func (d *differences) missing(found *relation, otherName string) {
	if found.Kind != "" {
		d.add("ALTER "+found.Kind+" "+d.table+" RENAME TO "+otherName,
			"the name is taken by something else: %s", strings.ToLower(found.Kind))
	}
	d.add(cureMissing, "the table is missing")
}

// shape compares all of a column but its NOT NULL.
func (d *differences) shape(c column) {
	name := quoted(c.Name)
	switch {
	case c.Extra:
		return // any shape will do
	case c.Missing:
		d.alter("ADD COLUMN "+definition(c.Name), "column %s is missing", name)
		return
	}
	if c.Generated {
		d.alter("ALTER COLUMN "+name+" DROP EXPRESSION", "column %s is generated", name)
	}
	needed, fallback := typeOf(c.Name)
	switch {
	case c.WrongType:
		// A default of the old type would have to be cast as well, and may not be.
		base, _, _ := strings.Cut(needed, " ")
		change := fmt.Sprintf("ALTER COLUMN %[1]s DROP DEFAULT, ALTER COLUMN %[1]s TYPE %[2]s USING %[1]s::%[3]s",
			name, needed, base)
		if fallback != "" {
			change += ", ALTER COLUMN " + name + " SET DEFAULT " + fallback
		}
		d.alter(change, "column %s is %s, not %s", name, c.Type, needed)
	case c.WrongDefault:
		d.alter("ALTER COLUMN "+name+" SET DEFAULT "+fallback, "column %s does not default to %s", name, fallback)
	}
}

func (d *differences) nulls(c column) {
	name := quoted(c.Name)
	switch {
	case c.Extra:
		d.alter("ALTER COLUMN "+name+" DROP NOT NULL",
			"column %s is not one of idemtx's, is NOT NULL and has no default", name)
	case c.RefusesNull:
		d.alter("ALTER COLUMN "+name+" DROP NOT NULL", "column %s refuses NULL", name)
	case c.AcceptsNull:
		d.alter("ALTER COLUMN "+name+" SET NOT NULL", "column %s accepts NULL", name)
	}
}

func (d *differences) primaryKey(found *relation, newName string) {
	add := "ADD CONSTRAINT " + newName + " PRIMARY KEY (scope, key)"
	if found.PrimaryKey == "" {
		d.alter(add, "the primary key is missing")
		return
	}
	var wrong []string
	if !slices.Equal(found.PrimaryKeyColumns, []string{"scope", "key"}) {
		columns := make([]string, len(found.PrimaryKeyColumns))
		for i, name := range found.PrimaryKeyColumns {
			columns[i] = quoted(name)
		}
		wrong = append(wrong, fmt.Sprintf("on (%s), not on (scope, key)", strings.Join(columns, ", ")))
	}
	if found.PrimaryKeyDeferrable {
		wrong = append(wrong, "deferrable, which ON CONFLICT refuses")
	}
	if !found.PrimaryKeyValid {
		wrong = append(wrong, "not valid")
	}
	if wrong != nil {
		d.alter("DROP CONSTRAINT "+quoted(found.PrimaryKey)+", "+add,
			"the primary key is %s", strings.Join(wrong, " and "))
	}
}

var checkName = regexp.MustCompile(`CONSTRAINT (\w+) CHECK`)

func (d *differences) checks(found *relation) {
	for _, match := range checkName.FindAllStringSubmatch(createSQL, -1) {
		name := match[1]
		validate := "VALIDATE CONSTRAINT " + name
		switch {
		case !slices.Contains(found.Checks, name):
			// In two steps, because the one that reads all rows then lets others write.
			d.alter("ADD "+definition(name)+" NOT VALID; ALTER TABLE "+d.table+" "+validate,
				"CHECK %s is missing", name)
		case slices.Contains(found.NotValid, name):
			d.alter(validate, "CHECK %s is not valid: older rows may break it", name)
		}
	}
	if found.OldClaimCheck {
		const name = "claimed_or_answered"
		d.alter("DROP CONSTRAINT "+name+", ADD "+definition(name)+" NOT VALID; ALTER TABLE "+d.table+" VALIDATE CONSTRAINT "+name,
			"CHECK %s is of an older release", name)
	}
}

func (d *differences) sweepIndex(found *relation, schema string) {
	// PostgreSQL chooses a free name.
	create := "CREATE INDEX CONCURRENTLY ON " + d.table + " (expires_at)"
	if found.Partitioned {
		// Which it cannot do CONCURRENTLY. It takes what the partitions have, and
		// that can be made so beforehand.
		create = "CREATE INDEX ON " + d.table + " (expires_at)"
		if found.SweepIndexPartial || !found.SweepIndexValid {
			for _, partition := range found.PartitionsWithoutIndex {
				d.add("CREATE INDEX CONCURRENTLY ON "+partition+" (expires_at)", "an index on expires_at is missing in %s", partition)
			}
			for _, index := range found.PartitionsInvalidIndexes {
				d.reindex(index)
			}
		}
	}
	name := quoted(found.SweepIndex)
	switch {
	case found.SweepIndex == "":
		d.add(create, "an index on expires_at is missing")
	case found.SweepIndexPartial:
		d.add(create, "an index on expires_at is missing: %s is partial", name)
	case !found.SweepIndexValid && found.Partitioned:
		d.add(create, "an index on expires_at is missing: %s does not cover every partition", name)
	case !found.SweepIndexValid:
		d.reindex(quoted(schema, found.SweepIndex))
	}
}

func (d *differences) reindex(name string) {
	d.add("REINDEX INDEX CONCURRENTLY "+name, "index %s on expires_at is not valid: its creation failed or has not ended", name)
}

func (d *differences) durability(found *relation) {
	for _, name := range found.Unlogged {
		d.add("ALTER TABLE "+name+" SET LOGGED",
			"%s is UNLOGGED: a crash empties it, and what was done is done again", name)
	}
}

func (d *differences) rowSecurity(found *relation) {
	if found.RowSecurity {
		d.alter("DISABLE ROW LEVEL SECURITY", "row security hides rows from role %s", quoted(found.Role))
	}
}

func (d *differences) privileges(found *relation) {
	role := quoted(found.Role)
	for _, privilege := range found.WithoutPrivileges {
		d.add("GRANT "+privilege+" ON TABLE "+d.table+" TO "+role, "role %s may not %s", role, privilege)
	}
}

// definition is the line of create.sql that makes a column or a CHECK.
func definition(name string) string {
	for line := range strings.Lines(createSQL) {
		line = strings.Join(strings.Fields(strings.TrimSuffix(line, ",\n")), " ")
		if strings.HasPrefix(strings.TrimPrefix(line, "CONSTRAINT "), name+" ") {
			return line
		}
	}
	panic("idemtx: create.sql has no line for " + name)
}

// typeOf is the type of a column in create.sql with its collation, and its
// default or nothing.
func typeOf(column string) (dataType, fallback string) {
	rest := strings.TrimPrefix(definition(column), column+" ")
	rest, fallback, _ = strings.Cut(rest, " DEFAULT ")
	return strings.TrimSuffix(rest, " NOT NULL"), fallback
}
