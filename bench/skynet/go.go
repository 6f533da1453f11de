// A tree of goroutines ten wide: each leaf sends its number to its parent, each parent sends the sum of its ten
// children up. Median of three after one warm-up (--quick: the million once, without one).
//
// skynet_100k  100,000 leaves
// skynet_1m    1,000,000 leaves
package main

import (
	"fmt"
	"os"
	"sort"
	"time"
)

func node(parent chan<- int, number, leaves int) {
	if leaves == 1 {
		parent <- number
		return
	}
	share := leaves / 10
	parts := make(chan int, 10)
	for i := 0; i < 10; i++ {
		go node(parts, number+i*share, share)
	}
	sum := 0
	for i := 0; i < 10; i++ {
		sum += <-parts
	}
	parent <- sum
}

func milliseconds(leaves int) float64 {
	start := time.Now()
	result := make(chan int)
	go node(result, 0, leaves)
	sum := <-result
	elapsed := time.Since(start)
	if sum != leaves*(leaves-1)/2 {
		fmt.Fprintln(os.Stderr, "wrong result: the sum of the leaves")
		os.Exit(1)
	}
	return float64(elapsed.Nanoseconds()) / 1e6
}

func measure(row string, leaves, warmUps, times int) {
	for i := 0; i < warmUps; i++ {
		milliseconds(leaves)
	}
	var samples []float64
	for i := 0; i < times; i++ {
		samples = append(samples, milliseconds(leaves))
	}
	sort.Float64s(samples)
	fmt.Printf("RESULT %s %.1f ms\n", row, samples[len(samples)/2])
}

func main() {
	quick := len(os.Args) > 1 && os.Args[1] == "--quick"
	measure("skynet_100k", 100_000, 1, 3)
	if quick {
		measure("skynet_1m", 1_000_000, 0, 1)
	} else {
		measure("skynet_1m", 1_000_000, 1, 3)
	}
}
