// Reflectors and the stores they feed.

package nodewatch

import (
	"context"
	"fmt"
	"reflect"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
)

// follow keeps store up to date with what lw lists and watches, until ctx is done.
func follow(ctx context.Context, lw cache.ListerWatcher, of runtime.Object, store cache.ReflectorStore) {
	cache.NewReflectorWithOptions(lw, of, store, cache.ReflectorOptions{
		Name:  "nodewatch",
		Clock: impatient{clock.RealClock{}, ctx.Done()},
		// Thousands of nodes do not stampede an API server that comes back, yet
		// none is deaf for long: at most 7 to 14 s lie between two attempts.
		Backoff: &wait.Backoff{Duration: 800 * time.Millisecond, Factor: 2, Cap: 7 * time.Second, Steps: 10, Jitter: 1},
	}).RunWithContext(ctx)
}

// impatient ends its waits when done is: a reflector that cannot reach the API
// server would otherwise sleep through the end of its context.
type impatient struct {
	clock.RealClock
	done <-chan struct{}
}

func (c impatient) After(d time.Duration) <-chan time.Time {
	over := make(chan time.Time)
	go func() {
		defer close(over)
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-c.done:
		}
	}()
	return over
}

// object is what reflectors deal in.
type object interface {
	runtime.Object
	metav1.Object
}

// objects is the store of a reflector. It keeps stripped objects: the whole
// ones are ten times as large. The watcher's mu guards it.
type objects[T object] struct {
	update  func(func() bool)
	strip   func(T) T
	synced  bool
	version int // counts changes
	all     map[types.NamespacedName]T
}

func newObjects[T object](update func(func() bool), strip func(T) T) *objects[T] {
	return &objects[T]{update: update, strip: strip, all: map[types.NamespacedName]T{}}
}

// Transformer strips objects while they are still on their way into a first list.
func (o *objects[T]) Transformer() cache.TransformFunc {
	return func(obj any) (any, error) { return o.read(obj) }
}

func (o *objects[T]) read(obj any) (T, error) {
	is, ok := obj.(T)
	if !ok {
		return is, fmt.Errorf("read an object: it is a %T, not a %T", obj, is)
	}
	return o.strip(is), nil
}

// Add is for the reflector.
func (o *objects[T]) Add(obj any) error { return o.Update(obj) }

// Update is for the reflector.
func (o *objects[T]) Update(obj any) error {
	is, err := o.read(obj)
	if err != nil {
		return err
	}
	o.update(func() bool {
		if was, ok := o.all[key(is)]; ok && reflect.DeepEqual(was, is) {
			return false
		}
		o.all[key(is)] = is
		o.version++
		return true
	})
	return nil
}

// Delete is for the reflector.
func (o *objects[T]) Delete(obj any) error {
	is, err := o.read(obj)
	if err != nil {
		return err
	}
	o.update(func() bool { delete(o.all, key(is)); o.version++; return true })
	return nil
}

// Replace is for the reflector.
func (o *objects[T]) Replace(list []any, _ string) error {
	all := make(map[types.NamespacedName]T, len(list))
	for _, obj := range list {
		is, err := o.read(obj)
		if err != nil {
			return err
		}
		all[key(is)] = is
	}
	o.update(func() bool { o.all, o.synced = all, true; o.version++; return true })
	return nil
}

// Resync is for the reflector, which never calls it without a resync period.
func (o *objects[T]) Resync() error { return nil }

func key(o metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}
