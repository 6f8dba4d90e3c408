package userbridge_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/user-bridge/user-bridge/clients/go/userbridge"
)

func TestAFileStoreKeepsTheLastCursor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cursor")
	if got := load(t, userbridge.NewFileStore(path)); got != "" {
		t.Errorf("a new store holds %q", got)
	}
	for _, cursor := range []string{"one", "two", "", "three"} {
		if err := userbridge.NewFileStore(path).Save(t.Context(), cursor); err != nil {
			t.Fatal(err)
		}
		if got := load(t, userbridge.NewFileStore(path)); got != cursor {
			t.Errorf("the store holds %q, want %q", got, cursor)
		}
	}
}

func TestASaveThatWasCutShortLeavesTheOldCursor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cursor")
	store := userbridge.NewFileStore(path)
	if err := store.Save(t.Context(), "old"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".tmp", []byte(strings.Repeat("x", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := load(t, userbridge.NewFileStore(path)); got != "old" {
		t.Errorf("the store holds %q, want the old cursor", got)
	}
	if err := store.Save(t.Context(), "new"); err != nil {
		t.Fatal(err)
	}
	if got := load(t, store); got != "new" {
		t.Errorf("the store holds %q, want the new cursor", got)
	}
}

func TestAFileStoreReportsWhatItCannotSave(t *testing.T) {
	store := userbridge.NewFileStore(filepath.Join(t.TempDir(), "missing", "cursor"))
	if err := store.Save(t.Context(), "lost"); err == nil {
		t.Error("a save into a folder that is missing succeeded")
	}
}
