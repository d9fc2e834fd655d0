/**
 * Gathers a comparison in one HTML page that needs nothing else: no other file, no network, no script.
 *
 * <p>Decides: what the page shows and in which order. Draws nothing itself.
 *
 * <pre>{@code
 * Report report = new Report("fashion-mini-quick", config.description(), runs, figures, plans, config.toYaml());
 * Path page = report.write(folder); // report.html
 * }</pre>
 */
@NullMarked
package io.crescendo.cli.report;

import org.jspecify.annotations.NullMarked;
