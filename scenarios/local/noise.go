// noise.go is the neighbour of the herd that computes on the same node.

package local

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

// noiseLog is the file with what the noise says, which is nothing unless it fails.
const noiseLog = "noise.log"

// makeNoise starts the node's noise.
func (n *Node) makeNoise(noise spec.Noise, logs string) (*process, error) {
	p, err := n.launcher.start(filepath.Join(logs, noiseLog), nil, n.programs.app,
		"--noise", strconv.Itoa(noise.Threads), "--on", noise.On.String(), "--off", noise.Off.String())
	if err != nil {
		return nil, fmt.Errorf("start the node's noise: %w", err)
	}
	return p, nil
}

// endless waits for the end of the context. Noise that ends before is an error:
// the run would be one without it.
func endless(ctx context.Context, noise *process, logs string) error {
	select {
	case <-ctx.Done():
		return nil
	case <-noise.Done():
		return fmt.Errorf("the noise ended in the middle of the run: %w: see %s", noise.how(), filepath.Join(logs, noiseLog))
	}
}

// share is how many cores of a node the noise uses on the average when it has it to itself.
func share(noise spec.Noise, cores int) float64 {
	return float64(min(noise.Threads, cores)) * noise.On.Std().Seconds() / (noise.On + noise.Off).Std().Seconds()
}

// wholeRounds is how long noise is measured: at least as long as the quiet node,
// and for as long as it computes and rests a whole number of times.
func wholeRounds(noise spec.Noise) time.Duration {
	if noise.Off == 0 {
		return idleTime
	}
	round := noise.On.Std() + noise.Off.Std()
	rounds := int64((idleTime + round - 1) / round)
	return time.Duration(rounds) * round
}
