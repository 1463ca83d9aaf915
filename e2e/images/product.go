// This file lists the product's images.

package images

// Product are the components that the chart puts into a cluster, under a tag: lock, init, health.
func Product(tag string) []Component {
	return []Component{
		{Name: "lock", Package: "./components/lock", Tag: tag, BuildTags: noHTTP2, LimitMB: 12},
		{Name: "init", Package: "./components/init", Tag: tag, BuildTags: noHTTP2, LimitMB: 12},
		{Name: "health", Package: "./components/health", Tag: tag, LimitMB: 40},
	}
}
