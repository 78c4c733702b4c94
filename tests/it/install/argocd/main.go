// Runs the health script and the actions of one kind against their test data, in the layout of Argo CD's own folder
// resource_customizations. The interpreter is opened as narrowly as Argo CD opens it for scripts from its ConfigMap: basic
// functions, tables, and of `os` only the time, by `require`.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	lua "github.com/yuin/gopher-lua"
	"sigs.k8s.io/yaml"
)

type object = map[string]any

type healthTests struct {
	Tests []struct {
		InputPath    string            `json:"inputPath"`
		HealthStatus map[string]string `json:"healthStatus"`
	} `json:"tests"`
}

type actionTests struct {
	DiscoveryTests []struct {
		InputPath string `json:"inputPath"`
		Result    []struct {
			Name     string `json:"name"`
			Disabled bool   `json:"disabled"`
		} `json:"result"`
	} `json:"discoveryTests"`
	ActionTests []struct {
		Action             string `json:"action"`
		InputPath          string `json:"inputPath"`
		ExpectedOutputPath string `json:"expectedOutputPath"`
	} `json:"actionTests"`
}

func main() {
	if len(os.Args) != 2 {
		fail("usage: argocd-scripts FOLDER-OF-THE-KIND")
	}
	folder := os.Args[1]
	actions := filepath.Join(folder, "actions")

	var health healthTests
	read(filepath.Join(folder, "health_test.yaml"), &health)
	for _, test := range health.Tests {
		got := run(filepath.Join(folder, "health.lua"), load(folder, test.InputPath))
		want := object{}
		for key, value := range test.HealthStatus {
			want[key] = value
		}
		compare("health of "+test.InputPath, want, got)
	}

	var tests actionTests
	read(filepath.Join(actions, "action_test.yaml"), &tests)
	for _, test := range tests.DiscoveryTests {
		want := object{}
		for _, action := range test.Result {
			want[action.Name] = object{"disabled": action.Disabled}
		}
		got := run(filepath.Join(actions, "discovery.lua"), load(actions, test.InputPath))
		compare("actions of "+test.InputPath, want, got)
	}
	for _, test := range tests.ActionTests {
		script := filepath.Join(actions, test.Action, "action.lua")
		got := run(script, load(actions, test.InputPath))
		compare(test.Action+" of "+test.InputPath, load(actions, test.ExpectedOutputPath), fixTime(got))
	}
}

// Runs a script over an object and gives what it returned.
func run(path string, obj object) any {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.LoadLibName: lua.OpenPackage,
		lua.BaseLibName: lua.OpenBase,
		lua.TabLibName:  lua.OpenTable,
	} {
		must(state.CallByParam(lua.P{Fn: state.NewFunction(open), Protect: true}, lua.LString(name)))
	}
	state.PreloadModule(lua.OsLibName, safeOs)
	state.SetGlobal("obj", toLua(state, obj))
	must(state.DoFile(path))
	return fromLua(state.Get(-1))
}

// `os` with its date and time and nothing else.
func safeOs(state *lua.LState) int {
	full := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer full.Close()
	must(full.CallByParam(lua.P{Fn: full.NewFunction(lua.OpenOs), NRet: 1, Protect: true}, lua.LString(lua.OsLibName)))
	safe := state.NewTable()
	for _, name := range []string{"date", "time"} {
		function := full.Get(-1).(*lua.LTable).RawGetString(name).(*lua.LFunction)
		safe.RawSetString(name, state.NewFunction(function.GFunction))
	}
	state.Push(safe)
	return 1
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case float64:
		return lua.LNumber(value)
	case string:
		return lua.LString(value)
	case []any:
		table := state.NewTable()
		for _, item := range value {
			table.Append(toLua(state, item))
		}
		return table
	case object:
		table := state.NewTable()
		for key, item := range value {
			table.RawSetString(key, toLua(state, item))
		}
		return table
	}
	return lua.LNil
}

func fromLua(value lua.LValue) any {
	switch value := value.(type) {
	case lua.LBool:
		return bool(value)
	case lua.LNumber:
		return float64(value)
	case lua.LString:
		return string(value)
	case *lua.LTable:
		if value.Len() > 0 {
			list := []any{}
			value.ForEach(func(_, item lua.LValue) { list = append(list, fromLua(item)) })
			return list
		}
		fields := object{}
		value.ForEach(func(key, item lua.LValue) { fields[key.String()] = fromLua(item) })
		return fields
	}
	return nil
}

// A script writes the time of now; the expected file has a time of the same form.
func fixTime(value any) any {
	obj, _ := value.(object)
	metadata, _ := obj["metadata"].(object)
	annotations, _ := metadata["annotations"].(object)
	for key, text := range annotations {
		text, _ := text.(string)
		if strings.HasSuffix(key, "-requested-at") && len(text) == len("2026-01-05T10:00:00Z") && text > "2026" && text[10] == 'T' {
			annotations[key] = "2026-01-05T10:00:00Z"
		}
	}
	return value
}

func load(folder, path string) object {
	obj := object{}
	read(filepath.Join(folder, path), &obj)
	return obj
}

func read(path string, into any) {
	text, err := os.ReadFile(path)
	must(err)
	must(yaml.UnmarshalStrict(text, into))
}

func compare(what string, want, got any) {
	if !reflect.DeepEqual(want, got) {
		fail(fmt.Sprintf("%s:\nwant %s\ngot  %s", what, text(want), text(got)))
	}
	fmt.Println("ok", what)
}

func text(value any) string {
	bytes, err := json.Marshal(value)
	must(err)
	return string(bytes)
}

func must(err error) {
	if err != nil {
		fail(err.Error())
	}
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, message)
	os.Exit(1)
}
