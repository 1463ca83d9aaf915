// terminal.go redraws a timeline in place.

package live

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/record"
)

const (
	hideCursor = "\x1b[?25l"
	showCursor = "\x1b[?25h"
	clearLine  = "\x1b[K"
	clearBelow = "\x1b[J"
)

type terminal struct {
	mu    sync.Mutex
	out   io.Writer
	size  func() (width, height int, err error)
	paint func(colour, text string) string
	drawn int // lines of the frame above the cursor that the next one replaces
}

func (t *terminal) Note(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drawn = 0
	fmt.Fprintf(t.out, format+"\n", args...)
}

// Follow redraws five times a second. The last frame stays.
func (t *terminal) Follow(title string, horizon time.Duration, now func() *record.Run) func() {
	t.mu.Lock()
	t.drawn = 0
	fmt.Fprint(t.out, hideCursor)
	t.mu.Unlock()
	stop := every(200*time.Millisecond, func() { t.draw(title, horizon, now()) })
	return sync.OnceFunc(func() {
		stop()
		t.mu.Lock()
		defer t.mu.Unlock()
		t.drawn = 0
		fmt.Fprint(t.out, showCursor)
	})
}

func (t *terminal) draw(title string, horizon time.Duration, run *record.Run) {
	t.mu.Lock()
	defer t.mu.Unlock()
	width, height, err := t.size()
	if err != nil || width < 20 || height < 5 {
		width, height = 80, 24
	}
	f := frame{width: width - 1, height: height - 1, horizon: horizon.Seconds(), paint: t.paint}
	lines := f.lines(title, run)
	var b strings.Builder
	if t.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", t.drawn)
	}
	for _, line := range lines {
		b.WriteString("\r" + line + clearLine + "\n")
	}
	b.WriteString(clearBelow) // what a taller frame has left
	t.drawn = len(lines)
	fmt.Fprint(t.out, b.String()) // in one write, so that no half frame shows
}

// painter colours text, or leaves it alone.
func painter(colours bool) func(colour, text string) string {
	return func(colour, text string) string {
		if !colours || colour == "" {
			return text
		}
		return "\x1b[" + colour + "m" + text + "\x1b[0m"
	}
}
