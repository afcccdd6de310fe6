/** Prompt cells are prose: the editor of a cell that begins with our magic is one of Markdown. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from "@jupyterlab/application";
import type { ICellModel } from "@jupyterlab/cells";
import type { CodeEditor } from "@jupyterlab/codeeditor";
import {
  CodeMirrorEditor,
  EditorExtensionRegistry,
  IEditorExtensionRegistry,
  IEditorLanguageRegistry,
} from "@jupyterlab/codemirror";
import { INotebookTracker, type NotebookPanel } from "@jupyterlab/notebook";
import type { Extension } from "@codemirror/state";

import { IConnections } from "../kernel/plugin";
import { promptEditor, type ProseLanguage } from "./editor";
import { isPrompt } from "./first_line";
import { promptLanguage } from "./language";
import { KernelNames } from "./names";
import { refresh, type Surroundings } from "./prose";

const MARKDOWN = "text/x-ipythongfm"; // that of Lab's Markdown cells

class MarkdownLanguage implements ProseLanguage {
  extension: Extension | null = null;
  private loading: Promise<void> | null = null;

  constructor(private readonly languages: IEditorLanguageRegistry) {}

  load(): Promise<void> {
    return (this.loading ??= this.languages.getLanguage(MARKDOWN).then(
      (found) => void (this.extension = found?.support ? promptLanguage(found.support) : []),
      () => void (this.extension = []), // the server is gone: the text keeps the colours of code
    ));
  }
}

/** The names in the kernel of each notebook, found by the model of one of its cells. */
class Notebooks {
  private readonly byPanel = new Map<NotebookPanel, KernelNames>();

  constructor(
    private readonly tracker: INotebookTracker,
    private readonly connections: IConnections,
  ) {}

  find(model: ICellModel): KernelNames | null {
    const { notebook } = model.sharedModel;
    const panel = notebook && this.tracker.find((panel) => panel.context.model.sharedModel === notebook);
    return panel ? this.namesOf(panel) : null;
  }

  /** Call `run` when the notebook of this cell is there. */
  whenThere(model: ICellModel, run: (names: KernelNames) => void): void {
    const names = this.find(model);
    if (names) return run(names);
    const { notebook } = model.sharedModel;
    if (!notebook) return; // a console
    const look = (_tracker: INotebookTracker, panel: NotebookPanel): void => {
      if (panel.context.model.sharedModel !== notebook) return;
      this.tracker.widgetAdded.disconnect(look);
      run(this.namesOf(panel));
    };
    this.tracker.widgetAdded.connect(look);
    model.sharedModel.disposed.connect(() => this.tracker.widgetAdded.disconnect(look));
  }

  private namesOf(panel: NotebookPanel): KernelNames {
    let names = this.byPanel.get(panel);
    if (!names) {
      names = new KernelNames(this.connections.of(panel), () => refreshAll(panel));
      this.byPanel.set(panel, names);
      panel.disposed.connect(() => {
        this.byPanel.get(panel)?.dispose();
        this.byPanel.delete(panel);
      });
    }
    return names;
  }
}

/** Another magic is ours now, or is not any more: look again at the cells that begin with it. */
function refreshAll(panel: NotebookPanel): void {
  for (const { editor, model } of panel.content.widgets) {
    if (!(editor instanceof CodeMirrorEditor) || !isPrompt(model.sharedModel.getSource(), ["ai"])) continue;
    editor.editor.dispatch({ effects: refresh.of(null) });
  }
}

function isCodeCell(model: CodeEditor.IModel): model is ICellModel {
  return (model as Partial<ICellModel>).type === "code";
}

export const promptCellsPlugin: JupyterFrontEndPlugin<void> = {
  id: "flowgpt_magic:prompt-cells",
  description: "Makes the editors of cells that ask a model those of prose.",
  autoStart: true,
  requires: [INotebookTracker, IConnections, IEditorExtensionRegistry, IEditorLanguageRegistry],
  activate: (
    _app: JupyterFrontEnd,
    tracker: INotebookTracker,
    connections: IConnections,
    extensions: IEditorExtensionRegistry,
    languages: IEditorLanguageRegistry,
  ) => {
    const notebooks = new Notebooks(tracker, connections);
    const language = new MarkdownLanguage(languages);
    extensions.addExtension({
      name: "flowgpt_magic:prompt-cells",
      factory: ({ model }) => {
        if (!isCodeCell(model)) return null;
        const surroundings: Surroundings = {
          get names() {
            return notebooks.find(model);
          },
          whenThere: (run) => notebooks.whenThere(model, run),
        };
        const source = model.sharedModel.getSource();
        const text = { length: source.length, sliceString: (from: number, to: number) => source.slice(from, to) };
        return EditorExtensionRegistry.createImmutableExtension(promptEditor(text, surroundings, language));
      },
    });
  },
};
