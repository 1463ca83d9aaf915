// What client-go says goes where all else goes, if anyone wants to hear it.

package main

import (
	"context"
	"log/slog"

	"k8s.io/klog/v2"
)

// adoptKlog makes client-go log to log, at level debug: what matters of it,
// health says in its own words.
func adoptKlog(log *slog.Logger) {
	klog.SetSlogLogger(slog.New(lowered{log.Handler()}).With("from", "client-go"))
}

// lowered logs everything at level debug.
type lowered struct{ slog.Handler }

func (h lowered) Enabled(ctx context.Context, _ slog.Level) bool {
	return h.Handler.Enabled(ctx, slog.LevelDebug)
}

func (h lowered) Handle(ctx context.Context, r slog.Record) error {
	if !h.Enabled(ctx, r.Level) {
		return nil // klog does not ask before it reports an error
	}
	r.Level = slog.LevelDebug
	return h.Handler.Handle(ctx, r)
}

func (h lowered) WithAttrs(attrs []slog.Attr) slog.Handler {
	return lowered{h.Handler.WithAttrs(attrs)}
}

func (h lowered) WithGroup(name string) slog.Handler { return lowered{h.Handler.WithGroup(name)} }
