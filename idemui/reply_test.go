package idemui

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// What nests deep is as large as its depth squared when it is indented.
func TestIndented(t *testing.T) {
	t.Parallel()
	assert.Equal(t, []string{`{`, `  "a": [`, `    1,`, `    "}]\","`, `  ]`, `}`}, strings.Split(indented([]byte(`{"a":[1,"}]\","]}`)), "\n"))
	deep := strings.Repeat("[", 5000) + strings.Repeat("]", 5000)
	assert.Equal(t, deep, indented([]byte(deep)))
	assert.Equal(t, "no JSON {", indented([]byte("no JSON {")))
	for _, response := range []string{`{"a":[1,{"b":"c"}],"d":{}}`, `[[],[[1,2]]]`} {
		assert.GreaterOrEqual(t, indentedLength([]byte(response))+strings.Count(response, ":"), len(indented([]byte(response))))
	}
}
