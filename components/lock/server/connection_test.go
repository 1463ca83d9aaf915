// Whole connections in virtual time: slow clients, huge bodies, dead ones.

package server

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/components/daemon"
)

// pipes is a listener in memory, so that whole connections run in virtual time.
type pipes struct {
	accept chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accept:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.accept <- server
	return client
}

// serve runs the real HTTP server of the daemon over pipes.
func serve(t *testing.T, s *Server) *pipes {
	p := &pipes{accept: make(chan net.Conn), closed: make(chan struct{})}
	srv := daemon.NewServer(s, slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() { done <- srv.Serve(p) }()
	t.Cleanup(func() {
		_ = srv.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return p
}

const acquireHead = "POST /v1/acquire HTTP/1.1\r\nHost: lock\r\nContent-Type: application/json\r\n"

func TestSlowClientsAreCutOffAndHoldNothing(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		first, drip string
		within      time.Duration
	}{
		"slow header": {"GET / HTTP/1.1\r\n", "X", 6 * time.Second},
		"slow body":   {acquireHead + "Content-Length: 1000\r\n\r\n{", " ", 11 * time.Second},
		"slow form": {"GET / HTTP/1.1\r\nHost: lock\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\nd",
			"u", 11 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				conn := serve(t, s).dial()
				start := time.Now()
				answer := make(chan []byte, 1)
				go func() { b, _ := io.ReadAll(conn); answer <- b }()
				_, err := io.WriteString(conn, tt.first)
				for err == nil {
					time.Sleep(time.Second)
					_, err = io.WriteString(conn, tt.drip)
				}
				if took := time.Since(start); took > tt.within {
					t.Errorf("cut off after %s, want at most %s", took, tt.within)
				}
				if got := string(<-answer); strings.Contains(got, "200 OK") {
					t.Errorf("answered %s", got)
				}
				if st := state(t, s); len(st.Grants)+len(st.Queue) > 0 {
					t.Errorf("it holds %+v", st)
				}
			})
		})
	}
}

func TestAHugeBodyIsRefusedUnread(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		conn := serve(t, s).dial()
		read := make(chan int, 1)
		go func() {
			n, _ := io.WriteString(conn, acquireHead+"Content-Length: 1073741824\r\n\r\n{\"pod\":{\"uid\":\"")
			chunk := strings.Repeat("x", 32<<10)
			for range 1 << 30 / len(chunk) {
				m, err := io.WriteString(conn, chunk)
				n += m
				if err != nil {
					break
				}
			}
			read <- n
		}()
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("status %d", resp.StatusCode)
		}
		_, _ = io.Copy(io.Discard, conn)
		if n := <-read; n > 1<<20 {
			t.Errorf("the server took %d bytes of it", n)
		}
	})
}

func TestALongPollOutlastsTheBodyTimeoutAndNoticesADeadClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, func(c *Config) { c.Lease = 20 * time.Second })
		ask(t.Context(), s, "holder", "0s")
		p := serve(t, s)
		poll := func(uid string) net.Conn {
			conn := p.dial()
			body := `{"pod":{"uid":"` + uid + `"},"wait":"25s"}`
			_, err := io.WriteString(conn, acquireHead+"Content-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"+body)
			if err != nil {
				t.Fatal(err)
			}
			return conn
		}
		ghost := poll("ghost")
		synctest.Wait()
		alive := poll("alive")
		synctest.Wait()
		_ = ghost.Close()
		resp, err := http.ReadResponse(bufio.NewReader(alive), nil)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != 200 || !strings.Contains(string(b), `"waited":"20s"`) {
			t.Errorf("%d %s, want a grant after 20 s: longer than %s, and not to the ghost", resp.StatusCode, b, bodyTimeout)
		}
		_ = alive.Close()
		if st := state(t, s); len(st.Queue) != 0 {
			t.Errorf("queue %+v, the ghost's grace is over", st.Queue)
		}
	})
}
