package zuul

import (
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
)

const jsonType = "application/json; charset=utf-8"

func writeJSON(w http.ResponseWriter, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	w.Header().Set("Content-Type", jsonType)
	w.Write(append(text, '\n')) // fails where nobody reads any more
	return nil
}

// writeList writes an array as its elements come, so that it takes the memory of
// a few. An error after the first of them breaks the connection off: half an
// array must not look like a whole one.
func writeList[T any](w http.ResponseWriter, r *http.Request, list iter.Seq2[T, error]) error {
	begun := false
	begin := func() {
		w.Header().Set("Content-Type", jsonType)
		w.WriteHeader(http.StatusOK)
		begun = true
	}
	for v, err := range list {
		var text []byte
		if err == nil {
			text, err = json.Marshal(v)
		}
		if err != nil {
			if !begun {
				return err
			}
			panic(http.ErrAbortHandler)
		}
		mark := byte(',')
		if !begun {
			begin()
			mark = '['
		}
		if r.Method == http.MethodHead {
			return nil
		}
		if _, err := w.Write(append([]byte{mark}, text...)); err != nil {
			return nil // nobody reads any more
		}
	}
	end := "]\n"
	if !begun {
		begin()
		end = "[]\n"
	}
	w.Write([]byte(end))
	return nil
}

// once is the list of what is there already.
func once[T any](list []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, v := range list {
			if !yield(v, nil) {
				return
			}
		}
	}
}
