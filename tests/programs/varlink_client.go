// SPDX-License-Identifier: Apache-2.0

// A Varlink client that shares no line with ours: Debian's Go library. It asks a service for its interfaces and an
// interface's description, and calls one method:
//
//	varlink_client ADDRESS info
//	varlink_client ADDRESS describe INTERFACE
//	varlink_client ADDRESS call METHOD PARAMETERS
//
// The answer is printed as JSON; an error of the service is printed as its name, with status 3.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/varlink/go/varlink"
)

func ask(ctx context.Context, c *varlink.Connection, words []string) (interface{}, error) {
	switch words[0] {
	case "info":
		var vendor, product, version, url string
		var interfaces []string
		err := c.GetInfo(ctx, &vendor, &product, &version, &url, &interfaces)
		return map[string]interface{}{"product": product, "version": version, "interfaces": interfaces}, err
	case "describe":
		text, err := c.GetInterfaceDescription(ctx, words[1])
		return text, err
	default:
		var answer json.RawMessage
		err := c.Call(ctx, words[1], json.RawMessage(words[2]), &answer)
		return answer, err
	}
}

func main() {
	ctx := context.Background()
	c, err := varlink.NewConnection(ctx, os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	answer, err := ask(ctx, c, os.Args[2:])
	if failure, ok := err.(*varlink.Error); ok {
		fmt.Println(failure.Name)
		os.Exit(3)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
	json.NewEncoder(os.Stdout).Encode(answer)
}
