package main

// What goes to stderr: one line for people, or JSON for a log collector.

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"
)

const logFormatFlag = "log-format"

func addLogFlag(root *cobra.Command) {
	root.PersistentFlags().String(logFormatFlag, "text", "of what goes to stderr: text or json")
	completeValues(root, logFormatFlag, "text\tlines for people", "json\tan object a line, for a log collector")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if format := logFormat(cmd); format != "text" && format != "json" {
			return usagef("--%s is text or json", logFormatFlag)
		}
		return nil
	}
}

func logFormat(cmd *cobra.Command) string {
	format, _ := cmd.Flags().GetString(logFormatFlag)
	return format
}

// logger is for the commands that run until they are ended.
func logger(cmd *cobra.Command, level slog.Level) *slog.Logger {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		switch v := a.Value.Any().(type) {
		case string:
			a.Value = slog.StringValue(inFlags(v))
		case error:
			a.Value = slog.StringValue(inFlags(v.Error()))
		}
		return a
	}}
	if logFormat(cmd) == "json" {
		return slog.New(slog.NewJSONHandler(cmd.ErrOrStderr(), options))
	}
	return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), options))
}

func warn(cmd *cobra.Command, text string) {
	if logFormat(cmd) == "json" {
		logger(cmd, slog.LevelInfo).Warn(text)
		return
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "tokensource: warning:", inFlags(text))
}

// fail is the last word of a command that did not do what it was asked.
func fail(cmd *cobra.Command, text string, code int, hint string) {
	if logFormat(cmd) == "json" {
		logger(cmd, slog.LevelInfo).Error(text, "exit_code", code)
		return
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "tokensource:", inFlags(text))
	if hint != "" {
		fmt.Fprintln(cmd.ErrOrStderr(), hint)
	}
}

// inFlags is a text of the library's in the command's words: who types a flag
// has no field to set.
func inFlags(text string) string { return inFlagsReplacer.Replace(text) }

var inFlagsReplacer = strings.NewReplacer(
	"the field Dir: ", "--cache-dir: ",
	"BaseURL", "--base-url",
	"unset Legacy or the options", "leave out --legacy or the options",
	"credentials go into Credentials", "credentials come from the environment or from files",
	"configure it in HTTPClient", "name them in HTTPS_PROXY, as http://user:password@host:port",
)
