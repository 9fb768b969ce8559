// Package migrationfiles writes the steps of the table as files for the tools that apply
// migrations.
package migrationfiles

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/idemtx/idemtx/idemtx"
)

// Format is what a tool wants a file to be called and to hold.
type Format string

// The formats. Plain is for Atlas and all that take a file as it is.
const (
	Goose Format = "goose"
	Tern  Format = "tern"
	Plain Format = "plain"
)

// layout is how a format numbers its files, and what it puts in front of the SQL.
type layout struct{ name, head string }

var layouts = map[Format]layout{
	Goose: {name: "%05d_idemtx_%s.sql", head: "-- +goose Up\n"},
	Tern:  {name: "%03d_idemtx_%s.sql"},
	Plain: {name: "%05d_idemtx_%s.sql"}, // sorted as text
}

// Formats are the names there are.
func Formats() []string { return []string{string(Goose), string(Tern), string(Plain)} }

// Write writes a file for each step into dir, numbered from first on, and returns their
// names. It replaces no file: where one of them is there already, none is written.
func Write(dir string, format Format, first int, steps []idemtx.Migration) (names []string, err error) {
	layout, ok := layouts[format]
	if !ok {
		return nil, fmt.Errorf("the format must be one of %v", Formats())
	}
	if first < 1 {
		return nil, errors.New("the first number must be at least 1")
	}
	for i, step := range steps {
		names = append(names, filepath.Join(dir, fmt.Sprintf(layout.name, first+i, step.Name)))
	}
	for _, name := range names {
		if _, err := os.Lstat(name); err == nil {
			return nil, fmt.Errorf("%s is there already", name)
		}
	}
	for i, step := range steps {
		if err := write(names[i], layout.head+step.SQL); err != nil {
			return nil, err
		}
	}
	return names, nil
}

func write(name, text string) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}
