// queue.go is a heap from which things can be taken out of the middle.

package sim

import (
	"cmp"
	"container/heap"
)

// item is something to do, in order of its key; equal keys keep their order of arrival.
type item[K cmp.Ordered] struct {
	key   K
	seq   uint64
	index int // in the heap; negative when not there
	do    func()
}

// queue is a heap of items, least key first. Its zero value is empty.
type queue[K cmp.Ordered] struct {
	items items[K]
	seq   uint64
}

func (q *queue[K]) add(key K, do func()) *item[K] {
	q.seq++
	i := &item[K]{key: key, seq: q.seq, do: do}
	heap.Push(&q.items, i)
	return i
}

// remove takes an item out; nothing happens when it is nil or out already.
func (q *queue[K]) remove(i *item[K]) {
	if i != nil && i.index >= 0 {
		heap.Remove(&q.items, i.index)
	}
}

// first is the item with the least key, or nil.
func (q *queue[K]) first() *item[K] {
	if len(q.items) == 0 {
		return nil
	}
	return q.items[0]
}

func (q *queue[K]) len() int { return len(q.items) }

// items is the heap itself.
type items[K cmp.Ordered] []*item[K]

func (h items[K]) Len() int { return len(h) }

func (h items[K]) Less(i, j int) bool {
	return h[i].key < h[j].key || h[i].key == h[j].key && h[i].seq < h[j].seq
}

func (h items[K]) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *items[K]) Push(x any) {
	i := x.(*item[K])
	i.index = len(*h)
	*h = append(*h, i)
}

func (h *items[K]) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	last.index = -1
	return last
}
