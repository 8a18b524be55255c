package main

// The command tree's finish: flags in the order of their declaration, values
// for completion, man pages.

import (
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func init() { cobra.EnableCommandSorting = false } // help lists commands as newRootCommand does

// keepOrder has help list flags as they are declared, in every command.
func keepOrder(cmd *cobra.Command) {
	cmd.Flags().SortFlags = false
	cmd.PersistentFlags().SortFlags = false
	cmd.InheritedFlags().SortFlags = false
	if cmd.ValidArgsFunction == nil && !cmd.HasSubCommands() {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	for _, sub := range cmd.Commands() {
		keepOrder(sub)
	}
}

// completeValues has the shell complete a flag's values, each "value" or
// "value\tdescription".
func completeValues(cmd *cobra.Command, flag string, values ...string) {
	mustRegister(cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)))
}

// completeFiles has the shell complete the names of files.
func completeFiles(cmd *cobra.Command, flags ...string) {
	for _, flag := range flags {
		mustRegister(cmd.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault
		}))
	}
}

func completeDirectory(cmd *cobra.Command, flag string) {
	mustRegister(cmd.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveFilterDirs
	}))
}

func mustRegister(err error) {
	if err != nil {
		panic(err) // the flag does not exist, or was registered before
	}
}

// newManCommand is for packagers.
func newManCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIRECTORY",
		Short:  "Write the man pages, one for each command, into a directory",
		Hidden: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("man takes one argument: the directory to write the pages into")
			}
			return nil
		},
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return usagef("the directory cannot be made: %w", withoutPath(err))
			}
			header := &doc.GenManHeader{Source: "tokensource " + cmd.Root().Version, Manual: "tokensource"}
			if err := doc.GenManTree(cmd.Root(), header, args[0]); err != nil {
				return usagef("the pages cannot be written: %w", withoutPath(err))
			}
			return nil
		},
	}
}
