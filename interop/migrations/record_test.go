package migrations

import (
	"context"
	"maps"
	"slices"

	"ariga.io/atlas/sql/migrate"
)

// record is what Atlas has applied, by version. Its command keeps that in a table, with
// a package of its own.
type record map[string]migrate.Revision

func (record) Ident() *migrate.TableIdent { return &migrate.TableIdent{Name: "revisions"} }

func (r record) ReadRevisions(ctx context.Context) (revisions []*migrate.Revision, err error) {
	for _, version := range slices.Sorted(maps.Keys(r)) {
		revision := r[version]
		revisions = append(revisions, &revision)
	}
	return revisions, nil
}

func (r record) ReadRevision(_ context.Context, version string) (*migrate.Revision, error) {
	revision, ok := r[version]
	if !ok {
		return nil, migrate.ErrRevisionNotExist
	}
	return &revision, nil
}

func (r record) WriteRevision(_ context.Context, revision *migrate.Revision) error {
	r[revision.Version] = *revision
	return nil
}

func (r record) DeleteRevision(_ context.Context, version string) error {
	delete(r, version)
	return nil
}
