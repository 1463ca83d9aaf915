// Package gate decides whether anyone on this node may start: endpoints must
// answer before applications are let loose on them, and health must find the
// node ready.
package gate

import (
	"slices"
	"sync"
)

// Gate is open when none of its parts has a reason against it. Safe for
// concurrent use.
type Gate struct {
	report func(open bool, reasons []string)

	mu    sync.Mutex
	parts [][]string // the reasons of each
}

// New is a gate that reports what becomes of it.
func New(report func(open bool, reasons []string)) *Gate { return &Gate{report: report} }

// Part adds a part that is against it for now. The function that it returns
// takes that part's reasons, none for open.
func (g *Gate) Part(reason string) func(reasons []string) {
	g.mu.Lock()
	i := len(g.parts)
	g.parts = append(g.parts, []string{reason})
	g.mu.Unlock()
	g.tell()
	return func(reasons []string) {
		g.mu.Lock()
		g.parts[i] = reasons
		g.mu.Unlock()
		g.tell()
	}
}

// tell reports under the lock, so that the last report is the last word.
func (g *Gate) tell() {
	g.mu.Lock()
	defer g.mu.Unlock()
	reasons := slices.Concat(g.parts...)
	g.report(len(reasons) == 0, reasons)
}
