package userbridge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
)

// A CursorStore keeps the place that [Follow] has reached. One stream is followed with one store.
type CursorStore interface {
	// Load returns the cursor that was saved last; empty where there is none.
	Load(ctx context.Context) (string, error)
	// Save keeps a cursor; an empty one forgets the place. When it returns nil, a later Load must see it.
	Save(ctx context.Context, cursor string) error
}

// MemoryStore keeps the cursor as long as the process lives. Its zero value is ready.
type MemoryStore struct {
	mu     sync.Mutex
	cursor string
}

// Load returns the cursor.
func (s *MemoryStore) Load(context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cursor, nil
}

// Save keeps the cursor.
func (s *MemoryStore) Save(_ context.Context, cursor string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cursor = cursor
	return nil
}

// FileStore keeps the cursor in a file that holds either the old or the new one, also after a loss of power.
// A save costs two fsyncs. The file belongs to one process at a time.
type FileStore struct {
	mu   sync.Mutex
	path string
}

// NewFileStore keeps the cursor at path, whose folder must exist.
func NewFileStore(path string) *FileStore { return &FileStore{path: path} }

// Load reads the file; one that does not exist holds no cursor.
func (s *FileStore) Load(context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the cursor: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// Save replaces the file.
func (s *FileStore) Save(_ context.Context, cursor string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	temporary := s.path + ".tmp"
	if err := writeSynced(temporary, cursor+"\n"); err != nil {
		return fmt.Errorf("write the cursor: %w", err)
	}
	if err := os.Rename(temporary, s.path); err != nil {
		return fmt.Errorf("replace the cursor: %w", err)
	}
	if err := syncDirectory(filepath.Dir(s.path)); err != nil {
		return fmt.Errorf("make the cursor durable: %w", err)
	}
	return nil
}

func writeSynced(path, text string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Sync(), file.Close())
}

// syncDirectory makes a rename durable. Windows cannot, and does not need it.
func syncDirectory(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}
