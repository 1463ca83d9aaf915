// shares.go is a resource that everybody who wants it shares fairly: the CPU,
// the disk.

package sim

import (
	"math"
	"time"
)

// task is work on a resource.
type task = item[float64]

// shares serves all tasks at the same speed, at most 1 each, and together no
// more than there is. Because all are served alike, what one has been given
// since the beginning is one number, and a task is done when that has grown by
// its work: so any number of them cost one heap.
type shares struct {
	clock *clock
	// room is how many tasks are served at full speed.
	room float64
	// friction is by how much each task beyond the room slows all of them down.
	friction float64
	// changing is called before anything changes.
	changing func()

	taken   float64 // of the room, by what is no task
	endless int     // tasks without an end
	tasks   queue[float64]
	served  float64 // what a task that was always here would have been given
	since   time.Duration
	next    *timer // the end of the first task

	// speed and wait follow from the above: what each task is given, the part of
	// that which friction leaves, and the share of the room at which somebody waits.
	share, speed, wait float64
	total              totals
}

// totals are integrals over the time, in seconds times what they count.
type totals struct {
	busy   float64 // of the room
	done   float64 // work of tasks
	lost   float64 // to friction
	beside float64 // used by what is no task
	waited float64 // the share of the room at which a task had to wait
	used   float64 // there was a task
}

// wanted is how many tasks there are.
func (s *shares) wanted() int { return s.tasks.len() + s.endless }

// add begins work of that many seconds at full speed.
func (s *shares) add(work float64, do func()) *task {
	s.advance()
	t := s.tasks.add(s.served+work, do)
	s.settle()
	return t
}

// drop ends a task that is not done; nothing happens when it is, or is nil.
func (s *shares) drop(t *task) {
	s.advance()
	s.tasks.remove(t)
	s.settle()
}

// set changes what is taken besides, and the number of tasks without an end.
func (s *shares) set(taken float64, endless int) {
	s.advance()
	s.taken, s.endless = taken, endless
	s.settle()
}

// advance counts what was done until now.
func (s *shares) advance() {
	if s.changing != nil {
		s.changing()
	}
	dt := (s.clock.now - s.since).Seconds()
	s.since = s.clock.now
	n := float64(s.wanted())
	s.served += s.speed * dt
	beside := min(s.taken, s.room-n*s.share)
	s.total.beside += beside * dt
	s.total.busy += (beside + n*s.share) * dt
	s.total.done += n * s.speed * dt
	s.total.lost += n * (s.share - s.speed) * dt
	s.total.waited += s.wait * dt
	if n > 0 {
		s.total.used += dt
	}
}

// settle works out the speed from now on, and when the first task will be done.
func (s *shares) settle() {
	// What is no task is served first, but does not have it all.
	const least = 0.1
	n := float64(s.wanted())
	s.share = 0
	if n > 0 {
		s.share = min(1, max(s.room-s.taken, least*s.room)/n)
	}
	s.speed = s.share / (1 + s.friction*max(0, n-s.room))
	s.wait = crowding(s.taken, n, s.room)
	s.clock.stop(s.next)
	s.next = nil
	if first := s.tasks.first(); first != nil {
		s.next = s.clock.after((first.key-s.served)/s.speed, s.finish)
	}
}

// finish ends the tasks that are done.
func (s *shares) finish() {
	s.advance()
	const rounding = 1e-9
	for first := s.tasks.first(); first != nil && first.key <= s.served+rounding; first = s.tasks.first() {
		s.tasks.remove(first)
		first.do()
	}
	s.settle()
}

// crowding is the share of the cores on which a task waits, which is what the
// kernel's pressure is: it takes the mean of all cores, and does not count how
// many wait on one. Of tasks that come and go at random and want so much on the
// average there is a number by Poisson's distribution.
func crowding(taken, tasks, room float64) float64 {
	waiting := func(more float64) float64 { return min(max(tasks+more-room, 0), room) / room }
	share, left, term := 0.0, 1.0, math.Exp(-taken)
	for k := 0.0; left > 1e-6 && waiting(k) < 1; k++ {
		share += term * waiting(k)
		left -= term
		term *= taken / (k + 1)
	}
	return share + max(left, 0)
}
