package io.crescendo.backend;

/** Passes everything on to another workspace; subclasses watch or change what they are interested in. */
public class ForwardingWorkspace implements Workspace {
    private final Workspace inner;

    /** In front of any workspace. */
    public ForwardingWorkspace(Workspace inner) {
        this.inner = inner;
    }

    @Override
    public long capacityBytes() {
        return inner.capacityBytes();
    }

    @Override
    public long peakBytes() {
        return inner.peakBytes();
    }

    @Override
    public void reserve(long bytes) {
        inner.reserve(bytes);
    }

    @Override
    public boolean prepare(long bytes) {
        return inner.prepare(bytes);
    }

    @Override
    public void shrink(long bytes) {
        inner.shrink(bytes);
    }
}
