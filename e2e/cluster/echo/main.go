// Command echo is the smallest application that a cluster can be tried with: an HTTP server that says
// its name, and, as `echo get URL`, a client that prints what a server says.
package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "echo: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 2 && args[0] == "get" {
		return get(args[1])
	}
	if len(args) > 0 {
		return errors.New("usage: echo [get URL]")
	}
	name, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("read the pod's name: %w", err)
	}
	server := &http.Server{
		Addr:              ":8080",
		ReadHeaderTimeout: 5 * time.Second,
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, name) }),
	}
	return server.ListenAndServe()
}

// get tries for a while: a Service that was just made needs a moment to be known everywhere.
func get(url string) error {
	client := http.Client{Timeout: time.Second}
	started := time.Now()
	for {
		body, err := getOnce(&client, url)
		if err == nil {
			fmt.Print(body)
			return nil
		}
		fmt.Fprintf(os.Stderr, "after %s: %v\n", time.Since(started).Round(time.Millisecond), err)
		if time.Since(started) > 30*time.Second {
			return err
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func getOnce(client *http.Client, url string) (string, error) {
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("get %s: %s", url, response.Status)
	}
	return string(body), nil
}
