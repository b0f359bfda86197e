// What holds a pod's namespaces while its containers come and go: it waits, buries orphans, and leaves when told.
// With -v it ends at once, by which kubeadm tries before an upgrade whether the cluster still starts pods.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "-v" {
		return
	}
	told := make(chan os.Signal, 8)
	signal.Notify(told, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for signal := range told {
		if signal != syscall.SIGCHLD {
			return
		}
		bury()
	}
}

// bury collects every child that has ended; signals of several may have come as one.
func bury() {
	for {
		if child, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); child <= 0 || err != nil {
			return
		}
	}
}
