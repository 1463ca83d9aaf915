// source.go is a file of /proc or of a cgroup, kept open and read again and again.

package pressure

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// mostText is more than any such file has: /proc/stat of the biggest machines
// has some hundred kilobytes. A /proc that never ends is not read for ever.
const mostText = 4 << 20

// source is one file. The kernel makes its text anew whenever it is read from
// the start, so it is opened once.
type source struct {
	path string
	file *os.File
	text []byte
}

func newSource(path ...string) *source { return &source{path: filepath.Join(path...)} }

// read is the whole text, good until the next read. After an error the next
// read opens the file anew.
func (s *source) read() ([]byte, error) {
	if s.file == nil {
		file, err := os.Open(s.path)
		if err != nil {
			return nil, err // it names the file
		}
		s.file = file
	}
	if s.text == nil {
		s.text = make([]byte, 1<<10)
	}
	for n := 0; ; {
		got, err := s.file.ReadAt(s.text[n:], int64(n))
		n += got
		switch {
		case err == io.EOF:
			return s.text[:n], nil
		case err != nil:
			s.close()
			return nil, err
		case n >= mostText:
			s.close()
			return nil, fmt.Errorf("%s: more than %d bytes", s.path, mostText)
		}
		s.text = append(s.text, make([]byte, len(s.text))...)
	}
}

// close is for a source that may not be there at all, too.
func (s *source) close() {
	if s != nil && s.file != nil {
		s.file.Close()
		s.file = nil
	}
}
