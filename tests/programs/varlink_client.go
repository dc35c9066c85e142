// SPDX-License-Identifier: Apache-2.0

// A Varlink client that shares no line with ours: Debian's Go library. It asks a service for its interfaces and an
// interface's description, lists its methods, and calls one, for one answer or for so many:
//
//	varlink_client ADDRESS info
//	varlink_client ADDRESS describe INTERFACE
//	varlink_client ADDRESS methods INTERFACE
//	varlink_client ADDRESS call METHOD PARAMETERS
//	varlink_client ADDRESS more METHOD PARAMETERS NUMBER
//
// The answer (a list of those of "more") is printed as JSON; an error of the service is printed as its name, with status 3.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"

	"github.com/varlink/go/varlink"
)

// As many answers as are wanted, or as there are.
func askMore(ctx context.Context, c *varlink.Connection, method string, parameters string, number string) (interface{}, error) {
	answers := []json.RawMessage{}
	wanted, err := strconv.Atoi(number)
	if err != nil {
		return nil, err
	}
	receive, err := c.Send(ctx, method, json.RawMessage(parameters), varlink.More)
	for err == nil && len(answers) < wanted {
		var answer json.RawMessage
		var flags uint64
		flags, err = receive(ctx, &answer)
		if err == nil {
			answers = append(answers, answer)
		}
		if flags&varlink.Continues == 0 {
			break
		}
	}
	return answers, err
}

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
	case "methods":
		text, err := c.GetInterfaceDescription(ctx, words[1])
		names := []string{}
		for _, match := range regexp.MustCompile(`(?m)^method (\w+)`).FindAllStringSubmatch(text, -1) {
			names = append(names, match[1])
		}
		return names, err
	case "more":
		return askMore(ctx, c, words[1], words[2], words[3])
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
