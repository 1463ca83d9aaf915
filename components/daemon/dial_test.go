// Dialing while packets are lost, in virtual time.

package daemon

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestDialerFindsTheWayAsSoonAsThereIsOne(t *testing.T) {
	t.Parallel()
	refused := errors.New("connection refused")
	for name, tt := range map[string]struct {
		lossy   time.Duration // attempts that begin earlier never have an answer
		err     error
		give    time.Duration // the caller's patience
		want    time.Duration
		wantErr string
	}{
		"at once":                   {want: 0},
		"after a while":             {lossy: 2 * time.Second, want: 2100 * time.Millisecond},
		"refused":                   {err: refused, wantErr: "refused"},
		"refused after a while":     {lossy: time.Second, err: refused, want: 1200 * time.Millisecond, wantErr: "refused"},
		"never":                     {lossy: time.Hour, want: dialTimeout, wantErr: "no answer to 27 attempts"},
		"until its caller gives up": {lossy: time.Hour, give: time.Second, want: time.Second, wantErr: "no answer to 4 attempts"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				var opened, closed atomic.Int32
				d := Dialer{dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
					if time.Since(begun) < tt.lossy {
						<-ctx.Done()
						opened.Add(1) // at the very last moment
						return &countedConn{closed: &closed}, nil
					}
					if tt.err != nil {
						return nil, tt.err
					}
					opened.Add(1)
					return &countedConn{closed: &closed}, nil
				}}
				ctx := t.Context()
				if tt.give > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.give)
					defer cancel()
				}
				conn, err := d.DialContext(ctx, "tcp", "lock:8888")
				if took := time.Since(begun); took != tt.want {
					t.Errorf("took %s, want %s", took, tt.want)
				}
				if (err != nil) != (tt.wantErr != "") || err != nil && !strings.Contains(err.Error(), tt.wantErr) {
					t.Errorf("got %v, want %q", err, tt.wantErr)
				}
				if conn != nil {
					conn.Close()
				}
				synctest.Wait()
				if opened.Load() != closed.Load() {
					t.Errorf("%d connections opened, %d closed", opened.Load(), closed.Load())
				}
			})
		})
	}
}

type countedConn struct {
	net.Conn
	closed *atomic.Int32
}

func (c *countedConn) Close() error { c.closed.Add(1); return nil }
