// Root certificates for images that have none.

package main

// An image without a base has no certificates of its own, and --check takes
// https URLs. What SSL_CERT_FILE or the system has goes first.
import _ "golang.org/x/crypto/x509roots/fallback"
