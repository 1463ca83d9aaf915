// lock status: a running lock, for people and programs.

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/pod-startup-lock/pod-startup-lock/components/daemon"
	"github.com/pod-startup-lock/pod-startup-lock/components/lockapi"
)

// statusCommand is what an operator runs with kubectl exec.
func statusCommand(stdout *os.File) *cli.Command {
	var settings daemon.Settings
	host, port := daemon.Text("127.0.0.1"), daemon.Number(8888)
	return &cli.Command{
		Name:  "status",
		Usage: "show grants, queue, limit and gate of a running lock",
		Flags: []cli.Flag{
			settings.Flag("host", &host, "`ADDRESS` of the lock"),
			settings.Flag("port", &port, "`PORT` of the lock", "PSL_BIND_PORT"),
			&cli.BoolFlag{Name: "json", Usage: "print what the lock answers, for programs"},
			&cli.BoolFlag{Name: "watch", Aliases: []string{"w"}, Usage: "print again every second, until interrupted"},
		},
		Action: func(c *cli.Context) error {
			var p daemon.Problems
			settings.Validate(&p, c.Args().Slice())
			if err := p.Err(); err != nil {
				return err
			}
			s := status{
				client: lockapi.NewClient(fmt.Sprintf("http://%s:%d", host, port), &http.Client{Timeout: 5 * time.Second}),
				out:    stdout, json: c.Bool("json"), redraw: term.IsTerminal(int(stdout.Fd())),
			}
			if c.Bool("watch") {
				return s.watch(c.Context)
			}
			return s.show(c.Context)
		},
	}
}

// status prints a lock's state.
type status struct {
	client *lockapi.Client
	out    io.Writer
	json   bool
	redraw bool // the output is a terminal
}

func (s *status) watch(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if err := s.show(ctx); err != nil && ctx.Err() == nil {
			fmt.Fprintln(s.out, err) // it may come back
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (s *status) show(ctx context.Context) error {
	state, err := s.client.State(ctx)
	if err != nil {
		return fmt.Errorf("read the lock's state: %w", err)
	}
	if s.json {
		return json.NewEncoder(s.out).Encode(state)
	}
	var b strings.Builder
	if s.redraw {
		b.WriteString("\x1b[H\x1b[2J")
	}
	table(&b, state)
	_, err = io.WriteString(s.out, b.String())
	return err
}

// table prints a state for people.
func table(w io.Writer, s *lockapi.State) {
	held := 0
	for _, g := range s.Grants {
		held += g.Weight
	}
	fmt.Fprintf(w, "LIMIT  %d (%s), %d held\n", s.Limit.Slots, s.Limit.Reason, held)
	if s.Gate.Open {
		fmt.Fprintln(w, "GATE   open")
	} else {
		fmt.Fprintf(w, "GATE   closed: %s\n", strings.Join(s.Gate.Reasons, "; "))
	}
	round := func(d time.Duration) string { return max(d, 0).Round(time.Second).String() }
	if h := s.Health; h != nil {
		switch away := round(s.Now.Sub(h.Since)); {
		case h.Connected && h.API:
			fmt.Fprintln(w, "HEALTH connected")
		case h.Connected:
			fmt.Fprintf(w, "HEALTH connected, but the API server is away for %s (%s): going on with what was known last\n", away, h.Error)
		default:
			fmt.Fprintf(w, "HEALTH away for %s (%s): going on with what it said last\n", away, h.Error)
		}
	}

	fmt.Fprintf(w, "\nGRANTS %d\n", len(s.Grants))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(s.Grants) > 0 {
		fmt.Fprintln(t, "  POD\tWEIGHT\tHELD FOR\tENDS IN\tRELEASE ON")
	}
	for _, g := range s.Grants {
		fmt.Fprintf(t, "  %s\t%d\t%s\t%s\t%s\n", g.Pod, g.Weight, round(s.Now.Sub(g.GrantedAt)), round(g.ExpiresAt.Sub(s.Now)), g.ReleaseOn)
	}
	_ = t.Flush()

	fmt.Fprintf(w, "\nQUEUE  %d\n", len(s.Queue))
	if len(s.Queue) > 0 {
		fmt.Fprintln(t, "  PLACE\tPOD\tPRIORITY\tWAITED\tETA\tCLIENT\tWHY")
	}
	for _, c := range s.Queue {
		eta, client := "unknown", "waiting"
		if c.ETA != nil {
			eta = c.ETA.String()
		}
		switch {
		case c.Expected:
			client = "expected"
		case !c.Connected:
			client = "away"
		}
		fmt.Fprintf(t, "  %d\t%s\t%d\t%s\t%s\t%s\t%s\n", c.Position, c.Pod, c.Priority, round(s.Now.Sub(c.ClaimedAt)), eta, client, c.Reason)
	}
	_ = t.Flush()
}
