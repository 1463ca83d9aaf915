package main

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pod-startup-lock/pod-startup-lock/scenarios/spec"
)

func TestNoiseKeepsItsRhythm(t *testing.T) {
	t.Parallel()
	second := spec.Duration(time.Second)
	for name, test := range map[string]struct {
		noise spec.Noise
		want  map[time.Duration]time.Duration // until a time it computed for that long
	}{
		"on and off": {spec.Noise{Threads: 1, On: 3 * second, Off: 2 * second}, map[time.Duration]time.Duration{
			2 * time.Second: 2 * time.Second, 4 * time.Second: 3 * time.Second, 6 * time.Second: 4 * time.Second, 20 * time.Second: 12 * time.Second,
		}},
		"two threads": {spec.Noise{Threads: 2, On: second, Off: second}, map[time.Duration]time.Duration{10 * time.Second: 10 * time.Second}},
		"never off":   {spec.Noise{Threads: 3, On: second}, map[time.Duration]time.Duration{10 * time.Second: 30 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for until, want := range test.want {
				synctest.Test(t, func(t *testing.T) {
					const step = time.Millisecond
					ctx, cancel := context.WithTimeout(t.Context(), until)
					defer cancel()
					var computed atomic.Int64
					noise(ctx, test.noise, func(x uint64) uint64 {
						time.Sleep(step) // virtual time: the work
						computed.Add(int64(step))
						return x
					})
					got := time.Duration(computed.Load())
					if tolerance := time.Duration(test.noise.Threads) * 20 * step; got < want-tolerance || got > want+tolerance {
						t.Errorf("computed for %s in %s, want %s", got, until, want)
					}
				})
			}
		})
	}
}

func TestNoiseUsesCPUUntilItIsTold(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	before, err := cpuTime()
	if err != nil {
		t.Fatal(err)
	}
	noise(ctx, spec.Noise{Threads: 1, On: spec.Duration(time.Hour)}, func(x uint64) uint64 {
		if now, err := cpuTime(); err != nil || now > before+20*time.Millisecond {
			cancel()
		}
		return spin(x)
	})
	if err := run(ctx, config{noise: spec.Noise{Threads: 1, On: spec.Duration(time.Hour)}}); !errors.Is(err, context.Canceled) {
		t.Errorf("told to end, it ends with %v", err)
	}
}
