//go:build unix

package redistest

// Several servers that share the slots of a cluster, and what becomes of them
// when one dies. It takes the real server.

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// clusterConfig has a dead master noticed within a second or two.
var clusterConfig = []string{"cluster-enabled yes", "cluster-node-timeout 1000", "cluster-replica-validity-factor 0"}

// Cluster starts three masters that share the slots. It needs the real server.
func Cluster(t testing.TB) []*Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	const size, slots = 3, 16384
	var servers []*Server
	var nodes []*redis.Client
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("redistest: cluster: %v", err)
		}
	}
	for i := range size {
		s := Start(t, clusterConfig...)
		node := s.Client()
		defer node.Close()
		check(node.Do(ctx, "cluster", "set-config-epoch", i+1).Err())
		check(node.ClusterAddSlotsRange(ctx, i*slots/size, (i+1)*slots/size-1).Err())
		if i > 0 {
			host, port, err := net.SplitHostPort(servers[0].Addr)
			check(err)
			check(node.ClusterMeet(ctx, host, port).Err())
		}
		servers, nodes = append(servers, s), append(nodes, node)
	}
	for _, node := range nodes {
		check(eventually(ctx, func() error {
			info, err := node.ClusterInfo(ctx).Result()
			for _, want := range []string{"cluster_state:ok", fmt.Sprint("cluster_known_nodes:", size), fmt.Sprint("cluster_size:", size)} {
				if err == nil && !strings.Contains(info, want+"\r\n") {
					err = fmt.Errorf("not yet %s", want)
				}
			}
			return err
		}))
	}
	return servers
}

// Replicate starts a replica of a cluster's master and returns it once it is one.
func (s *Server) Replicate(t testing.TB) *Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	master, replica := s.Client(), Start(t, clusterConfig...)
	defer master.Close()
	node := replica.Client()
	defer node.Close()
	id, err := master.Do(ctx, "cluster", "myid").Text()
	if err == nil {
		var host, port string
		if host, port, err = net.SplitHostPort(s.Addr); err == nil {
			err = node.ClusterMeet(ctx, host, port).Err()
		}
	}
	if err == nil {
		err = eventually(ctx, func() error { return node.ClusterReplicate(ctx, id).Err() })
	}
	if err == nil {
		err = eventually(ctx, func() error {
			info, err := node.Info(ctx, "replication").Result()
			if err == nil && !strings.Contains(info, "master_link_status:up") {
				err = fmt.Errorf("the replica is not in step yet")
			}
			return err
		})
	}
	if err != nil {
		t.Fatalf("redistest: replica: %v", err)
	}
	return replica
}

// AwaitPromotion returns when a replica has become a master that serves.
func (s *Server) AwaitPromotion(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	node := s.Client()
	defer node.Close()
	err := eventually(ctx, func() error {
		role, err := node.Info(ctx, "replication").Result()
		info, err2 := node.ClusterInfo(ctx).Result()
		if err = errors.Join(err, err2); err == nil && !(strings.Contains(role, "role:master") && strings.Contains(info, "cluster_state:ok")) {
			err = errors.New("it is no master yet")
		}
		return err
	})
	if err != nil {
		t.Fatalf("redistest: promotion: %v", err)
	}
}
