// What every binary relies on: exit codes, signals, settings, logging, an orderly end.

package daemon

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/urfave/cli/v2"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestExitCodes(t *testing.T) { // not parallel: cli writes to package variables
	for name, tt := range map[string]struct {
		args []string
		err  error
		code int
		says string
	}{
		"done":         {code: 0},
		"failure":      {err: errors.New("read the moon: too far"), code: 1, says: "app: read the moon: too far"},
		"bad settings": {err: &BadSettings{[]string{"--a: no", "--b: no"}}, code: 2, says: "  --a: no\n  --b: no"},
		"unknown flag": {args: []string{"--nonsense"}, code: 2, says: "nonsense"},
		"of a command": {args: []string{"sub", "--nonsense"}, code: 2, says: "nonsense"},
		"own code":     {err: cli.Exit("", 143), code: 143},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			app := &cli.App{Name: "app", Writer: &out, ErrWriter: &out, HideHelpCommand: true,
				Action:   func(*cli.Context) error { return tt.err },
				Commands: []*cli.Command{{Name: "sub", Action: func(*cli.Context) error { return nil }}}}
			if code := Main(app, append([]string{"app"}, tt.args...)); code != tt.code || !strings.Contains(out.String(), tt.says) {
				t.Errorf("code %d, want %d; output %s", code, tt.code, out.String())
			}
		})
	}
}

func TestASignalIsTheCauseOfTheEnd(t *testing.T) { // not parallel: signals are for the whole process
	app := &cli.App{Name: "app", Action: func(c *cli.Context) error {
		ctx := c.Context
		self, err := os.FindProcess(os.Getpid())
		if err != nil {
			return err
		}
		if err := self.Signal(syscall.SIGTERM); err != nil {
			return err
		}
		<-ctx.Done()
		var s *Signalled
		if !errors.As(context.Cause(ctx), &s) || s.Signal != syscall.SIGTERM {
			t.Errorf("cause %v", context.Cause(ctx))
		}
		return nil
	}}
	if code := Main(app, []string{"app"}); code != 0 {
		t.Errorf("code %d", code)
	}
}

func TestSettingsNoteWhatTheyCannotRead(t *testing.T) {
	t.Setenv("APP_NUMBER", "seven")
	t.Setenv("APP_EMPTY", "")
	var s Settings
	number, other, on, list, text := Number(1), Number(2), Switch(false), List(nil), Text("x")
	app := &cli.App{Name: "app", Writer: io.Discard, ErrWriter: io.Discard,
		Flags: []cli.Flag{
			s.Flag("number", &number, "", "APP_NUMBER"), s.Flag("other", &other, "", "APP_EMPTY"),
			s.Flag("on", &on, ""), s.Flag("list", &list, ""), s.Hidden("text", &text, ""),
		},
		Action: func(c *cli.Context) error {
			var p Problems
			s.Validate(&p, c.Args().Slice())
			return p.Err()
		}}
	if code := Main(app, strings.Fields("app --on=maybe --list a,b --list c arg")); code != ExitBadSettings {
		t.Errorf("code %d", code)
	}
	if other != 2 || list.String() != "a,b,c" {
		t.Errorf("other %d, list %v", other, list)
	}
	if code := Main(app, strings.Fields("app --number 7 --on true --text y")); code != 0 || number != 7 || !bool(on) || text != "y" {
		t.Errorf("code %d, number %d, on %v, text %s: a good flag makes up for a bad variable", code, number, on, text.String())
	}
}

func TestLogging(t *testing.T) {
	t.Parallel()
	for level, lines := range map[string]int{"debug": 3, "INFO": 2, "": 2, "warning": 1, "warn": 1, "error": 0} {
		for format, want := range map[string]string{"text": "msg=c", "json": `"msg":"c"`} {
			l := Logging{Level: level, Format: format}
			var p Problems
			if l.Validate(&p); p.Err() != nil {
				t.Errorf("%s: %v", level, p.Err())
			}
			var b bytes.Buffer
			log, err := l.Logger(&b)
			if err != nil {
				t.Fatal(err)
			}
			log.Debug("a")
			log.Info("b")
			log.Warn("c")
			if n := strings.Count(b.String(), "\n"); n != lines || (n > 0 && !strings.Contains(b.String(), want)) {
				t.Errorf("%s %s: %s", level, format, b.String())
			}
		}
	}
}

func TestServeEndsRequestsBeforeItStops(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	asked, finish := make(chan struct{}), make(chan struct{})
	srv := NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-finish
		_, _ = io.WriteString(w, "done")
	}), slog.New(slog.DiscardHandler))
	srv.RegisterOnShutdown(func() { close(finish) })
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, l, srv, 10*time.Second) }()
	go func() { <-asked; stop() }()
	resp, err := http.Get("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, _ := io.ReadAll(resp.Body); string(b) != "done" {
		t.Errorf("body %q", b)
	}
	http.DefaultClient.CloseIdleConnections()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
