// The controller: how many slots there may be.

package pressure

import "time"

// Interval is how often the node is sampled.
const Interval = 250 * time.Millisecond

// Config bounds the limit.
type Config struct {
	Min, Max int // Max 0 takes it from the cores of the first sample
}

// Controller decides on the limit. Not safe for concurrent use.
type Controller struct{ cfg Config }

// NewController makes a controller that has seen nothing yet.
func NewController(cfg Config) *Controller { return &Controller{cfg: cfg} }

// Limit takes a sample in and answers with the limit.
func (c *Controller) Limit(s Sample, grants []Grant, _ int) int {
	room := s.Cores - s.Busy
	return max(c.cfg.Min, 1, len(grants)+int(room))
}

// Why says in words why the limit is what it is.
func (c *Controller) Why() string { return "follows the node" }
