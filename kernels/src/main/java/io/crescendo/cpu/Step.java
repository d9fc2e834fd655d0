package io.crescendo.cpu;

/** One thing an executable does when it is replayed: a oneDNN primitive, or a loop in Java. */
interface Step {
    void run(Shard shard);

    /** A step before its addresses are known. */
    interface Template {
        /** Appends what has to be done with this binding; nothing where a copy turned out to be in place. */
        void bind(Binding binding, java.util.List<Step> steps);
    }
}
