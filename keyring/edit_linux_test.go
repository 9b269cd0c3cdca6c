package keyring

import (
	"bytes"
	"encoding/binary"
	"path/filepath"
	"syscall"
	"testing"
)

// A crash at any moment leaves no file in the keyring that does not belong
// there: each appears under its name, whole, and none under another.
func TestEditLeavesNothingBehind(t *testing.T) {
	dir := goodDir(t, "plain")
	watch, err := syscall.InotifyInit1(syscall.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(watch)
	for _, folder := range []string{".", keysDir, servicesDir} {
		if _, err := syscall.InotifyAddWatch(watch, filepath.Join(dir, folder), syscall.IN_CREATE|syscall.IN_MOVED_TO); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := AddReader(dir, "codesearch", "carol", []string{newAgeKey(t)}); err != nil {
		t.Fatal(err)
	}
	events := make([]byte, 4096)
	n, err := syscall.Read(watch, events)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for events = events[:n]; len(events) > 0; {
		// struct inotify_event: four numbers of four bytes, then the padded name.
		size := syscall.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(events[12:]))
		name := bytes.TrimRight(events[syscall.SizeofInotifyEvent:size], "\x00")
		names, events = append(names, string(name)), events[size:]
	}
	if len(names) != 2 || names[0] != "carol.pub" || names[1] != "codesearch.yaml" {
		t.Errorf("these appeared in the keyring: %q", names)
	}
}
