package publish

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"vitrine"
)

// The files of a build's folder in the spool. A signature is written before its
// record; the artifacts' folder holds each stored file under a hash of its path,
// which is short and clashes with no other, and beside it its entry in the record.
const (
	lockFile        = "lock"
	startedFile     = "started.json"
	finalFile       = "build.json"
	signatureSuffix = ".sig"
	artifactsDir    = "artifacts"
	entrySuffix     = ".json"
	tempPrefix      = "tmp-"
)

// ErrBusy says that another process works on a build of the spool.
var ErrBusy = errors.New("another vitrine is publishing it")

// DefaultSpool is where builds wait to be sent, if the caller does not say:
// vitrine/spool in $XDG_STATE_HOME, in ~/.local/state, or in %LocalAppData%.
func DefaultSpool() (string, error) {
	base := os.Getenv("XDG_STATE_HOME")
	if runtime.GOOS == "windows" {
		base = os.Getenv("LocalAppData")
	}
	if !filepath.IsAbs(base) { // the XDG specification wants a relative one ignored
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("no folder to keep builds in until they are sent: %w", err)
		}
		base = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(base, "vitrine", "spool"), nil
}

// A folder is the place of one build in the spool. It holds ciphertext, public
// files and records. Every file in it is whole: what a crash leaves half-written
// has a temporary name.
type folder struct {
	spool, dir string
	locked     *os.File
}

// openFolder opens, and if create is set makes, a build's folder and locks it.
// The lock is the kernel's: it ends with the process, however that ends, so
// there never is a stale one to be guessed at.
func openFolder(spool, uuid string, create bool) (*folder, error) {
	f := &folder{spool: spool, dir: filepath.Join(spool, uuid)}
	for {
		if create {
			if err := makeDir(filepath.Join(f.dir, artifactsDir)); err != nil {
				return nil, fmt.Errorf("spool: %w", err)
			}
		}
		file, err := os.OpenFile(filepath.Join(f.dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
		if create && errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile by a process that has sent it
		}
		if err != nil {
			return nil, fmt.Errorf("spool: %w", err)
		}
		busy, err := lock(file)
		if err == nil && !busy {
			mine, err1 := file.Stat()
			there, err2 := os.Stat(file.Name())
			if err1 != nil || err2 != nil || !os.SameFile(mine, there) {
				file.Close() // locked what was removed meanwhile
				if !create {
					return nil, fmt.Errorf("spool: build %s: %w", uuid, fs.ErrNotExist)
				}
				continue
			}
			f.locked = file
			if err := f.removeTemps(); err != nil {
				return nil, err
			}
			return f, nil
		}
		file.Close()
		if err != nil {
			return nil, fmt.Errorf("spool: lock %s: %w", f.dir, err)
		}
		return nil, fmt.Errorf("build %s: %w", uuid, ErrBusy)
	}
}

// makeDir makes a folder, and those above it that are missing, durably: a file
// that is synced is lost all the same if its folder is.
func makeDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if parent := filepath.Dir(dir); errors.Is(err, fs.ErrNotExist) && parent != dir {
		if err = makeDir(parent); err == nil {
			err = os.Mkdir(dir, 0o700)
		}
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// close lets another process have the folder.
func (f *folder) close() error {
	if f.locked == nil {
		return nil
	}
	file := f.locked
	f.locked = nil
	return file.Close()
}

func (f *folder) removeTemps() error {
	entries, err := os.ReadDir(f.dir)
	for _, e := range entries {
		if err == nil && strings.HasPrefix(e.Name(), tempPrefix) {
			err = os.Remove(filepath.Join(f.dir, e.Name()))
		}
	}
	if err != nil {
		f.close()
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}

// clear empties the folder.
func (f *folder) clear() error {
	for _, name := range []string{finalFile, finalFile + signatureSuffix, startedFile + signatureSuffix, artifactsDir} {
		if err := os.RemoveAll(filepath.Join(f.dir, name)); err != nil {
			return fmt.Errorf("spool: %w", err)
		}
	}
	return os.Mkdir(filepath.Join(f.dir, artifactsDir), 0o700)
}

// remove removes the folder of a build that is stored, and ends the lock.
// started.json goes first: without it the rest is rubbish, so a removal that is
// cut short needs no care, and one that fails is made up for by the next.
func (f *folder) remove() {
	os.Remove(filepath.Join(f.dir, startedFile))
	f.close() // Windows does not remove an open file
	os.RemoveAll(f.dir)
}

// create makes a temporary file, to be given its name by keep.
func (f *folder) create() (*os.File, error) {
	file, err := os.CreateTemp(f.dir, tempPrefix)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	return file, nil
}

// keep makes a temporary file durable under its name, once the folder it lies
// in is synced.
func (f *folder) keep(temp *os.File, name string) error {
	err := temp.Sync()
	if closeErr := temp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(temp.Name(), filepath.Join(f.dir, name))
	}
	if err != nil {
		os.Remove(temp.Name())
		return fmt.Errorf("spool: %w", err)
	}
	return nil
}

func (f *folder) write(name string, text []byte) error {
	temp, err := f.create()
	if err != nil {
		return err
	}
	if _, err := temp.Write(text); err != nil {
		temp.Close()
		os.Remove(temp.Name())
		return fmt.Errorf("spool: %w", err)
	}
	if err := f.keep(temp, name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(filepath.Join(f.dir, name)))
}

func (f *folder) writeSigned(name string, s *signedRecord) error {
	if err := f.write(name+signatureSuffix, s.signature); err != nil {
		return err
	}
	return f.write(name, s.text)
}

// readSigned reads a record and its signature from a build's folder.
func readSigned(spool, uuid, name string) (*signedRecord, error) {
	path := filepath.Join(spool, uuid, name)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	record, err := vitrine.ParseRecord(text)
	if err == nil && (record.UUID != uuid || record.IsStarted() != (name == startedFile)) {
		err = errors.New("not the record of this build")
	}
	if err != nil {
		return nil, fmt.Errorf("spool: %s: %w", path, err)
	}
	armored, err := os.ReadFile(path + signatureSuffix)
	if err != nil {
		return nil, fmt.Errorf("spool: %s has no signature: %v", path, err)
	}
	return &signedRecord{record, text, armored}, nil
}

// artifactFile is the name in the folder of the artifact with that plain path.
func artifactFile(plainPath string) string {
	sum := sha256.Sum256([]byte(plainPath))
	return filepath.Join(artifactsDir, hex.EncodeToString(sum[:16]))
}

// keepArtifact gives a stored file and its entry their names. When it returns
// nil they are there for good, and may be sent.
func (f *folder) keepArtifact(temp *os.File, a artifact) error {
	name := artifactFile(a.PlainPath())
	if err := f.keep(temp, name); err != nil {
		return err
	}
	entry, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return f.write(name+entrySuffix, entry) // syncs the folder
}

// artifacts returns what lies sealed in the folder, by source.
func (f *folder) artifacts() (map[string]artifact, error) {
	entries, err := os.ReadDir(filepath.Join(f.dir, artifactsDir))
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	found := make(map[string]artifact)
	for _, e := range entries {
		name := filepath.Join(f.dir, artifactsDir, e.Name())
		if filepath.Ext(name) != entrySuffix {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("spool: %w", err)
		}
		var a artifact
		if err := json.Unmarshal(text, &a); err != nil {
			return nil, fmt.Errorf("spool: %s: %w", name, err)
		}
		// An entry whose file is not there in full was never sent: a power cut
		// came between the two.
		if f.hasFile(a.Artifact) {
			found[a.Source] = a
		}
	}
	return found, nil
}

func (f *folder) hasFile(a vitrine.Artifact) bool {
	info, err := os.Stat(filepath.Join(f.dir, artifactFile(a.PlainPath())))
	return err == nil && info.Mode().IsRegular() && info.Size() == a.Size
}

// Waiting returns the uuids of the builds that wait in a spool to be sent or to
// be gone on with. A spool that does not exist is empty.
func Waiting(spool string) ([]string, error) {
	entries, err := os.ReadDir(spool)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool {
		_, err := os.Stat(filepath.Join(spool, e.Name(), startedFile))
		return !vitrine.ValidUUID(e.Name()) || err != nil
	})
	uuids := make([]string, len(entries))
	for i, e := range entries {
		uuids[i] = e.Name()
	}
	return uuids, nil
}
