/** The default theme; style.css has what differs. */
import DefaultTheme from 'vitepress/theme'
import './style.css'

export default DefaultTheme
