package io.crescendo.cli.figures;

import com.github.weisj.jsvg.SVGDocument;
import com.github.weisj.jsvg.parser.SVGLoader;
import java.awt.Color;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import javax.imageio.ImageIO;
import javax.imageio.stream.ImageOutputStream;
import javax.imageio.stream.MemoryCacheImageOutputStream;
import javax.swing.JComponent;
import org.jspecify.annotations.Nullable;

/** Writes figures into a folder, each as SVG and PNG. */
public final class FigureFiles {
    /** Pixels per unit of the drawing, so that text stays sharp on dense screens. */
    private static final int SCALE = 2;

    private final Path folder;

    public FigureFiles(Path folder) {
        this.folder = folder;
    }

    /**
     * What became of the figures.
     *
     * @param files written, in order
     * @param pngFault why there are no PNGs, or null if there are
     */
    public record Outcome(List<Path> files, @Nullable String pngFault) {}

    /** Writes every figure as SVG, and as PNG where this machine can draw text. */
    public Outcome write(List<Figure> figures) throws IOException {
        List<Path> files = new ArrayList<>();
        @Nullable String fault = null;
        for (Figure figure : figures) {
            Path svg = folder.resolve(figure.name() + ".svg");
            Files.writeString(svg, figure.svg());
            files.add(svg);
            if (fault == null) {
                Path png = folder.resolve(figure.name() + ".png");
                fault = writePng(svg, png);
                if (fault == null) {
                    files.add(png);
                }
            }
        }
        return new Outcome(List.copyOf(files), fault);
    }

    // Java's text drawing ends in errors of many kinds (no fonts: a plain Error; no libfreetype: a LinkageError; no
    // java.desktop module), and a run that has trained is not lost for want of a picture.
    @SuppressWarnings("CatchingUnchecked")
    private static @Nullable String writePng(Path svg, Path png) {
        try {
            SVGDocument document = new SVGLoader().load(svg.toUri().toURL());
            if (document == null) {
                return "the drawing could not be read back";
            }
            int width = Math.round(document.size().width * SCALE);
            int height = Math.round(document.size().height * SCALE);
            BufferedImage image = new BufferedImage(width, height, BufferedImage.TYPE_INT_RGB);
            Graphics2D graphics = image.createGraphics();
            graphics.setColor(Color.WHITE);
            graphics.fillRect(0, 0, width, height);
            graphics.setRenderingHint(RenderingHints.KEY_ANTIALIASING, RenderingHints.VALUE_ANTIALIAS_ON);
            graphics.setRenderingHint(RenderingHints.KEY_STROKE_CONTROL, RenderingHints.VALUE_STROKE_PURE);
            graphics.setRenderingHint(RenderingHints.KEY_TEXT_ANTIALIASING, RenderingHints.VALUE_TEXT_ANTIALIAS_ON);
            graphics.scale(SCALE, SCALE);
            document.render((JComponent) null, graphics);
            graphics.dispose();
            // Not to the file itself: where that fails, ImageIO prints a stack trace before it throws.
            try (OutputStream file = Files.newOutputStream(png);
                    ImageOutputStream encoded = new MemoryCacheImageOutputStream(file)) {
                ImageIO.write(image, "png", encoded);
            }
            return null;
        } catch (Exception | Error e) {
            return png.getFileName() + " could not be drawn (" + root(e)
                    + "); where Java has no fonts, install fontconfig and a font";
        }
    }

    private static String root(Throwable e) {
        Throwable root = e;
        while (root.getCause() != null) {
            root = root.getCause();
        }
        @Nullable String message = root.getMessage();
        return message == null
                ? root.getClass().getSimpleName()
                : message.lines().findFirst().orElse("");
    }
}
