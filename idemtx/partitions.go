package idemtx

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// partitionSuffix comes before the number of a partition in its name.
const partitionSuffix = "_p"

// More than these would cost the sweeper, which plans for all of them, more than they
// spare VACUUM.
const minPartitions, maxPartitions = 2, 256

// partitionedBy is what follows the columns of a table. By scope: every statement of a
// request has it, so that each works on one partition.
func (c Config) partitionedBy() string {
	if c.Partitions == 0 {
		return ""
	}
	return " PARTITION BY HASH (scope)"
}

// partitionsSQL makes the partitions of a table, if it has any.
func (c Config) partitionsSQL() string {
	var sql strings.Builder
	for i := range c.Partitions {
		if i == 0 {
			sql.WriteString("\n")
		}
		sql.WriteString(c.partitionSQL("IF NOT EXISTS ", int32(c.Partitions), int32(i)) + ";\n")
	}
	return sql.String()
}

func (c Config) partitionSQL(option string, modulus, remainder int32) string {
	name := quoted(c.Schema, c.Table+partitionSuffix+strconv.Itoa(int(remainder)))
	return fmt.Sprintf("CREATE TABLE %s%s PARTITION OF %s FOR VALUES WITH (MODULUS %d, REMAINDER %d)",
		option, name, quoted(c.Schema, c.Table), modulus, remainder)
}

// partitions finds the remainders whose rows have no place.
func (d *differences) partitions(found *relation, c Config) {
	if !found.HashPartitioned {
		return
	}
	modulus := int32(cmp.Or(c.Partitions, minPartitions))
	if len(found.Moduli) > 0 {
		modulus = slices.Max(found.Moduli) // a multiple of all the others
	}
	for remainder := range modulus {
		if !found.takes(remainder) {
			d.add(c.partitionSQL("", modulus, remainder), "the partition for remainder %d of %d is missing", remainder, modulus)
		}
	}
}

// takes tells whether one of the partitions has the rows of a remainder.
func (r *relation) takes(remainder int32) bool {
	for i, modulus := range r.Moduli {
		if remainder%modulus == r.Remainders[i] {
			return true
		}
	}
	return false
}
