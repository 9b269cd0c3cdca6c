package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"

	"filippo.io/age"

	"vitrine"
	"vitrine/client"
	"vitrine/lines"
	"vitrine/summary"
)

const (
	whyTail    = 30      // last lines of a log of which nothing is known
	whyScanned = 4 << 20 // bytes of the end of a log that has no summary
	whyLine    = 2 << 10 // bytes of a line that are printed: the message tells the rest
	whyOpen    = 4       // logs that stay open: what was found in them is read next
)

// buildLogs are the logs of a build, read by parts. Of a long one whose lines
// nobody has counted only the end is read, and they are counted from there: the
// last one is -1.
type buildLogs struct {
	client *client.Client
	record *vitrine.Record
	ids    []age.Identity
	opened []*remoteLog // the last used comes last
	ends   map[string]logEnd
}

// A logEnd is the end of a log whose lines are counted from the last.
type logEnd struct {
	off   int64 // of its first line
	lines int64
}

func (b *buildLogs) close() {
	for _, log := range b.opened {
		log.Close()
	}
}

// open returns a log that is open until others were.
func (b *buildLogs) open(ctx context.Context, a vitrine.Artifact) (*remoteLog, error) {
	if i := slices.IndexFunc(b.opened, func(l *remoteLog) bool { return l.path == a.Path }); i >= 0 {
		log := b.opened[i]
		b.opened = append(slices.Delete(b.opened, i, i+1), log)
		return log, nil
	}
	log, err := openLog(ctx, b.client, b.record, a, b.ids, nil)
	if err != nil {
		return nil, err
	}
	if len(b.opened) == whyOpen {
		b.opened[0].Close()
		b.opened = slices.Delete(b.opened, 0, 1)
	}
	b.opened = append(b.opened, log)
	return log, nil
}

// named is open by the name of a log; nil if the build has none of it.
func (b *buildLogs) named(ctx context.Context, name string) (*remoteLog, error) {
	i := slices.IndexFunc(b.record.Artifacts, func(a vitrine.Artifact) bool { return a.Name == name })
	if i < 0 {
		return nil, nil
	}
	return b.open(ctx, b.record.Artifacts[i])
}

// linesKnown reports whether the numbers of lines can be had without reading much.
func linesKnown(log *remoteLog) bool {
	_, ok := log.Known()
	return ok || log.Size() <= whyScanned
}

// endOf is a log from an offset on.
func endOf(log *remoteLog, off int64) *lines.Log {
	return lines.New(io.NewSectionReader(log, off, log.Size()-off))
}

// around reads a line of a log with those before and after it; from is the number
// of the first.
func (b *buildLogs) around(ctx context.Context, path string, line, before, after int64) (from int64, list []jsonText, err error) {
	log, err := b.named(ctx, path)
	if log == nil || err != nil {
		return 0, []jsonText{}, err // the summary is its publisher's word
	}
	if end, ok := b.ends[log.path]; ok && line < 0 {
		from = max(line-before, -end.lines)
		list, err = readLines(ctx, endOf(log, end.off), from+end.lines+1, line+after-from+1)
	} else {
		from = max(line-before, 1)
		list, err = readLines(ctx, log.Log, from, line+after-from+1)
	}
	if err != nil {
		return 0, nil, log.explain(err)
	}
	return from, list, nil
}

// readLines reads count lines from line number from on, of each no more than is
// printed of it.
func readLines(ctx context.Context, log *lines.Log, from, count int64) (list []jsonText, err error) {
	list = []jsonText{} // which in JSON is no null
	off, err := log.Offset(ctx, from)
	if err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(nil, 16<<10)
	seek := func(to int64) {
		off = to
		in.Reset(io.NewSectionReader(log, off, log.Size()-off))
	}
	for seek(off); off < log.Size() && int64(len(list)) < count; {
		line, err := in.ReadSlice('\n')
		next := off + int64(len(line))
		text := bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		shown := jsonText(text[:min(len(text), whyLine)])
		if len(text) > whyLine {
			shown = jsonText(strings.ToValidUTF8(string(shown), "") + " …")
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			if next, err = log.Offset(ctx, from+int64(len(list))+1); err == nil {
				seek(next)
			}
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		list, off = append(list, shown), next
	}
	return list, nil
}

// unknown are the logs, as reasons of which nothing is known.
func (b *buildLogs) unknown() (list []reason) {
	for _, a := range b.record.Artifacts {
		if a.IsText() {
			list = append(list, reason{Path: a.Name})
		}
	}
	return list
}

// tail reads the last lines of a log; from is the number of the first.
func (b *buildLogs) tail(ctx context.Context, name string, count int64) (from int64, list []jsonText, err error) {
	log, err := b.named(ctx, name)
	if err != nil {
		return 0, nil, err
	}
	if from, list, err = tailOf(ctx, log, count); err != nil {
		return 0, nil, log.explain(err)
	}
	return from, list, nil
}

func tailOf(ctx context.Context, log *remoteLog, count int64) (from int64, list []jsonText, err error) {
	if !linesKnown(log) {
		begin := log.Size() - whyScanned
		off, err := endOf(log, begin).Last(ctx, count)
		if err != nil {
			return 0, nil, err
		}
		list, err = readLines(ctx, endOf(log, begin+off), 1, count)
		return -int64(len(list)), list, err
	}
	off, err := log.Last(ctx, count)
	if err != nil {
		return 0, nil, err
	}
	if from, err = log.Number(ctx, off); err != nil {
		return 0, nil, err
	}
	list, err = readLines(ctx, log.Log, from, count)
	return from, list, err
}

// look makes a summary of the ends of the logs, for want of one.
func (b *buildLogs) look(ctx context.Context) (*summary.Summary, error) {
	s := new(summary.Summary)
	for _, a := range b.record.Artifacts {
		if !a.IsText() {
			continue
		}
		log, err := b.open(ctx, a)
		if err != nil {
			return nil, err
		}
		l, err := b.lookAt(ctx, log)
		if err != nil {
			return nil, log.explain(err)
		}
		s.Add(l)
	}
	return s, nil
}

func (b *buildLogs) lookAt(ctx context.Context, log *remoteLog) (l summary.Log, err error) {
	off, skipped := max(log.Size()-whyScanned, 0), int64(0)
	if off > 0 && linesKnown(log) {
		if skipped, err = log.Number(ctx, off); err != nil { // the line that is cut
			return l, err
		}
	}
	r := log.NewReader(off, log.Size()-off)
	defer r.Close()
	in := bufio.NewReaderSize(r, 64<<10)
	if off > 0 {
		for err = bufio.ErrBufferFull; errors.Is(err, bufio.ErrBufferFull); {
			var cut []byte
			cut, err = in.ReadSlice('\n')
			off += int64(len(cut))
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return l, err
		}
	}
	scan := summary.NewScanner(log.name, nil)
	if _, err := io.Copy(scan, in); err != nil {
		return l, err
	}
	l = scan.Log()
	if off > 0 && !linesKnown(log) {
		b.ends[log.path] = logEnd{off, l.Lines}
		skipped = -l.Lines - 1
	}
	l.Lines += skipped
	for _, list := range [][]summary.Note{l.Failures, l.Errors, l.Warnings} {
		for i := range list {
			list[i].Line += skipped
		}
	}
	return l, nil
}
