package io.crescendo.bench.peers.dl4j;

import io.crescendo.bench.peers.Engine;
import io.crescendo.bench.peers.EngineFactory;
import io.crescendo.bench.peers.Task;

/** Found by name when the comparison asks for {@code deeplearning4j}. */
public final class Dl4jFactory implements EngineFactory {
    @Override
    public String name() {
        return "deeplearning4j";
    }

    /** Its threads are OpenMP's, whose number the environment of the process decides. */
    @Override
    public Engine open(Task task, int threads) {
        return new Dl4jEngine(task);
    }
}
