// A module of its own, so that the library does not require x/mod.
module modproxy

go 1.26.0

require golang.org/x/mod v0.43.0
