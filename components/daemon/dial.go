// Connections on a node that has just appeared.

package daemon

import (
	"context"
	"fmt"
	"net"
	"time"
)

// Dialer connects where packets may be lost for a while: on a fresh node those
// to a Service, and to the name service, until kube-proxy has its rules. What a
// connection has lost stays lost, only a new one finds the way. So Dialer begins
// another attempt, name lookup included, every now and then while the earlier
// ones have no answer, and takes the first answer of any. The zero value is ready
// for use. Safe for concurrent use.
type Dialer struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error) // nil: a net.Dialer
}

const (
	dialEvery   = 300 * time.Millisecond
	dialTimeout = 8 * time.Second
)

// DialContext is for http.Transport and its like. It gives up after 8 s.
func (d Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	dial := d.dial
	if dial == nil {
		dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			// Lookups of one resolver at the same time are one lookup: each attempt needs its own.
			return (&net.Dialer{Resolver: &net.Resolver{}}).DialContext(ctx, network, address)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel() // ends the attempts that came too late
	type answer struct {
		conn net.Conn
		err  error
	}
	answers := make(chan answer)
	again := time.NewTicker(dialEvery)
	defer again.Stop()
	for attempts := 1; ; attempts++ {
		go func() {
			conn, err := dial(ctx, network, address)
			select {
			case answers <- answer{conn, err}:
			case <-ctx.Done():
				if conn != nil {
					_ = conn.Close()
				}
			}
		}()
		select {
		case a := <-answers:
			return a.conn, a.err
		case <-ctx.Done():
			return nil, fmt.Errorf("connect to %s: no answer to %d attempts: %w", address, attempts, context.Cause(ctx))
		case <-again.C:
		}
	}
}
