package idemtx_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/idemtx/idemtx/idemtx"
)

// Files for goose, which has each of them run once. A test of the service writes them
// anew, so that a release that brings a step shows as a new file.
func ExampleStore_Migrations() {
	store := open(idemtx.Config{})
	defer store.Pool().Close()
	write := func(folder string) error {
		for _, m := range store.Migrations() {
			name := fmt.Sprintf("%05d_idemtx_%s.sql", 700+m.Version, m.Name) // 701 and up are idemtx's
			err := os.WriteFile(filepath.Join(folder, name), []byte("-- +goose Up\n"+m.SQL), 0o644)
			if err != nil {
				return err
			}
		}
		return nil
	}
	_ = write

	first := store.Migrations()[0]
	fmt.Println(first.Version, first.Name)

	// Output: 1 create
}
