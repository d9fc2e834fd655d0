package io.crescendo.bench.peers;

/** An engine that lies on a class path of its own; registered for {@link java.util.ServiceLoader}. */
public interface EngineFactory {
    /** What {@code --engines} calls it. */
    String name();

    /**
     * Prepares the task.
     *
     * @param threads to compute with, if the engine can be told
     */
    Engine open(Task task, int threads);
}
